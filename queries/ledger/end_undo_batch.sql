-- Says that a batch was taken back that was begun. Parameters: run_id, entity, batch, made, at (when that is). Grain: none or one batch.
update undo_batches set state = 'ROLLED_BACK', made = ?4, at = ?5 where run_id = ?1 and entity = ?2 and batch = ?3 and state = 'ROLLBACK_INTENT'
