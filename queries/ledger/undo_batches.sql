-- The batches of a rollback that were begun. Parameters: run_id. Columns: entity, batch, changes, hash, state, made, at (when it was done). Grain: one batch.
select entity, batch, changes, hash, state, made, at from undo_batches where run_id = ?1 order by batch
