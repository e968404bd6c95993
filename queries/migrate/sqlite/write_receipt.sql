-- Puts what became of a batch into its marker. Parameters: markers; run_id, entity, batch, receipt. Grain: one batch.
update {{markers}} set receipt = ?4 where run_id = ?1 and entity = ?2 and batch = ?3
