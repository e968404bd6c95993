-- Ends a rollback. Parameters: run_id, state. Grain: one entity of a run.
update rollbacks set state = ?2 where run_id = ?1
