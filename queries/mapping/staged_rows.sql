-- The staged rows of a dataset, each with its position: number of the part shifted by 40 bits, plus row in the part.
-- Parameters: parts (a list of file names), reserved (recon's own columns to leave out, or nothing).
-- Columns: __recon_pos and the parts' columns. Grain: one staged row.
select *, (file_index::bigint << 40) + file_row_number::bigint as __recon_pos
from read_parquet([{{parts}}], union_by_name = true, hive_partitioning = false)
