-- What a batch's marker says. Parameters: run_id, entity, batch. Columns: hash, receipt. Grain: one batch.
select hash, receipt from recon.batches where run_id = $1 and entity = $2 and batch = $3
