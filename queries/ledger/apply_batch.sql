-- Says that a batch was written that was begun; one that was written stays as it is.
-- Parameters: run_id, entity, batch, inserted, updated, unchanged, failed,
-- made (JSON of the numbers of its changes, from–to), at (when that is). Grain: none or one batch.
update batches set state = 'APPLIED', inserted = ?4, updated = ?5, unchanged = ?6, failed = ?7, made = ?8, at = ?9
where run_id = ?1 and entity = ?2 and batch = ?3 and state = 'INTENT'
