-- Says how much there is to take back. Parameters: run_id, entity, changes. Grain: one entity of a run.
update rollbacks set changes = ?3, state = 'running' where run_id = ?1 and entity = ?2
