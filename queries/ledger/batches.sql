-- The batches of a migration that were begun. Parameters: run_id, entity.
-- Columns: batch, records, hash, state, inserted, made. Grain: one batch.
select batch, records, hash, state, inserted, made from batches where run_id = ?1 and entity = ?2 order by batch
