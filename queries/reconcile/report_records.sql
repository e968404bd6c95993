-- The records of an entity with one verdict, in the order of the report: by key, then by place.
-- Parameters: records (file glob), verdict, places (pos, on_target and line of rows), keys (pos, on_target and key texts u<i>
-- of rows that did not parse). Columns: all of the record's, line, u<i>. Grain: one record.
select r.* exclude (sort), l.line, u.* exclude (pos, on_target)
from read_parquet({{records}}, hive_partitioning = false) as r
left join ({{places}}) as l on l.pos = r.pos and l.on_target = r.on_target
left join ({{keys}}) as u on u.pos = r.pos and u.on_target = r.on_target
where r.verdict = {{verdict}}
order by r.sort, r.on_target, r.pos
