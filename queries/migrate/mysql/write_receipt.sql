-- Puts what became of a batch into its marker. Parameters: markers; receipt, run_id, entity, batch. Grain: one batch.
update {{markers}} set receipt = ? where run_id = ? and entity = ? and batch = ?
