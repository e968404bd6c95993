-- How many staged rows are in folded records. Parameters: file. Columns: rows. Grain: one row.
select coalesce(sum(__recon_rows), 0)::bigint as rows from read_parquet({{file}}, hive_partitioning = false)
