-- How many errors of each kind a pass left. Parameters: errors. Columns: subject, code, errors. Grain: one kind.
select subject::varchar, code, count(*)::varchar from read_parquet({{errors}}) group by subject, code order by subject, code
