-- Copies of wanted staged rows, which carry their positions. Parameters: files (a list of file names).
-- Columns: __recon_pos and the parts' columns. Grain: one staged row.
select * from read_parquet([{{files}}], union_by_name = true, hive_partitioning = false)
