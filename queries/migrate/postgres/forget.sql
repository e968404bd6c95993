-- Removes the markers of a run whose batches the ledger has. Parameters: run_id, entity. Grain: one batch.
delete from recon.batches where run_id = $1 and entity = $2
