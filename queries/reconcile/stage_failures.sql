-- The rows of a unit that did not parse, in the order of the file. Parameters: file.
-- Columns: line, column, code, message. Grain: one row that did not parse.
select line::bigint as line, "column", code, message from read_parquet({{file}}, hive_partitioning = false) order by line nulls last, "column"
