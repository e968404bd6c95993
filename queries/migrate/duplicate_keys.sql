-- Keys that occur more than once among an entity's records. Parameters: files (of positions and key hashes).
-- Columns: high, low. Grain: one such key.
select high, low from read_parquet([{{files}}]) group by high, low having count(*) > 1
