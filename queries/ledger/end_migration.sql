-- Ends a migration. Parameters: run_id, entity, state. Grain: one entity of a run.
update migrations set state = ?3 where run_id = ?1 and entity = ?2
