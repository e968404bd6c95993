-- Says that a batch was written. Parameters: run_id, entity, batch, inserted, updated, unchanged, failed. Grain: one batch.
update batches set state = 'APPLIED', inserted = ?4, updated = ?5, unchanged = ?6, failed = ?7
where run_id = ?1 and entity = ?2 and batch = ?3
