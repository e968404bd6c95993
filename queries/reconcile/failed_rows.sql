-- The rows of a table dataset that did not parse, with the key's pieces where they could be read.
-- Parameters: keys (select list), cells (the columns out of the readable cells), file, filter.
-- Columns: line, column, code, message, belongs, then the key's. Grain: one row that did not parse.
select line, "column", code, message, coalesce(try({{filter}}), false) as belongs {{keys}}
from (select line, "column", code, message {{cells}} from read_parquet({{file}}, hive_partitioning = false)) as r
