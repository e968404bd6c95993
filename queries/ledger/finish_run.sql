-- Ends a run. Parameters: run_id, state, ended_at, exit_code, folder, message. Grain: one run.
update runs set state = ?2, ended_at = ?3, exit_code = ?4, folder = ?5, message = ?6 where run_id = ?1
