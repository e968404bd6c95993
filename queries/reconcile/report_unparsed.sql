-- The rows of an entity that did not parse: the source's, then the target's, by file and line. Parameters: file.
-- Columns: on_target, unit, line, column, code, message, then the key's texts u<i>. Grain: one row that did not parse.
select * exclude (pos)
from read_parquet({{file}}, hive_partitioning = false)
order by on_target, pos
