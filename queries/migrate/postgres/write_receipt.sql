-- Puts what became of a batch into its marker. Parameters: run_id, entity, batch, receipt. Grain: one batch.
update recon.batches set receipt = $4 where run_id = $1 and entity = $2 and batch = $3
