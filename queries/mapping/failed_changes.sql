-- The records of a chain of exports that did not parse and whose keys are known; continues latest_changes.sql.
-- Parameters: files (a list of file names). Columns: as there. Grain: one record.
union all
select __recon_k1, __recon_k2, __recon_window
from read_parquet([{{files}}], hive_partitioning = false)
where __recon_k1 is not null
