-- The records of an entity with one verdict, in the order of the report: by key, then by place.
-- Parameters: records (file glob), verdict, places (columns and join for the line of a row, or NULLs).
-- Columns: all of the record's, line. Grain: one record.
select r.* exclude (sort), l.line
from read_parquet({{records}}, hive_partitioning = false) as r
left join ({{places}}) as l on l.pos = r.pos and l.on_target = r.on_target
where r.verdict = {{verdict}}
order by r.sort, r.on_target, r.pos
