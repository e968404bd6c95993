-- The batches of a rollback that were begun. Parameters: run_id. Columns: entity, batch, changes, hash, state, made. Grain: one batch.
select entity, batch, changes, hash, state, made from undo_batches where run_id = ?1 order by batch
