-- Copies of wanted staged documents, which carry their positions. A part has columns for its own documents' attributes alone, so
-- the columns come from all parts. Parameters: files (a list of file names), parts (all staged rows).
-- Columns: __recon_pos and all parts' columns. Grain: one staged row.
select * from read_parquet([{{files}}], union_by_name = true, hive_partitioning = false)
union all by name
select * from ({{parts}}) as every_part where false
