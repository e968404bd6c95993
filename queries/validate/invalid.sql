-- How many records have errors. Parameters: errors. Columns: records. Grain: one row.
select count(distinct pos) from read_parquet({{errors}})
