-- Says that a batch is about to be taken back. Parameters: run_id, entity, batch, changes, hash. Grain: one batch.
insert into undo_batches (run_id, entity, batch, changes, hash, state) values (?1, ?2, ?3, ?4, ?5, 'ROLLBACK_INTENT')
on conflict (run_id, entity, batch) do nothing
