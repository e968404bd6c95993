-- Says which changes a batch made of which only the target knew. Parameters: run_id, entity, batch, made. Grain: none or one batch.
update batches set made = ?4 where run_id = ?1 and entity = ?2 and batch = ?3 and state = 'INTENT'
