-- What a batch's marker says. Parameters: markers; run_id, entity, batch. Columns: hash, receipt. Grain: one batch.
select hash, receipt from {{markers}} where run_id = ? and entity = ? and batch = ?
