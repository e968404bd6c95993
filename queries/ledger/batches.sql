-- The batches of a migration that were begun. Parameters: run_id, entity.
-- Columns: batch, records, hash, state, inserted, made, at (when it was done). Grain: one batch.
select batch, records, hash, state, inserted, made, at from batches where run_id = ?1 and entity = ?2 order by batch
