-- Says which changes a batch of a rollback made of which only the target knew. Parameters: run_id, entity, batch, made. Grain: none or one batch.
update undo_batches set made = ?4 where run_id = ?1 and entity = ?2 and batch = ?3 and state = 'ROLLBACK_INTENT'
