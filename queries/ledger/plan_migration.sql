-- Records the plan of a migration. Parameters: run_id, entity, records, batches, left_over. Grain: one entity of a run.
update migrations set records = ?3, batches = ?4, left_over = ?5, state = 'running' where run_id = ?1 and entity = ?2
