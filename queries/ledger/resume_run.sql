-- Goes on with a run that was interrupted. Parameters: run_id, epoch. Grain: one run.
update runs set state = 'running', epoch = ?2, ended_at = null, exit_code = null, message = null where run_id = ?1
