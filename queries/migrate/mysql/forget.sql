-- Removes the markers of a run whose batches the ledger has. Parameters: markers; run_id, entity. Grain: one batch.
delete from {{markers}} where run_id = ? and entity = ?
