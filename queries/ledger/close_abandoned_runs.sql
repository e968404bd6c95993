-- Marks runs that a kill or a power cut ended: whoever holds the lock is the only runner, so no other can be running.
-- Parameters: ended_at. Columns: run_id. Grain: one such run.
update runs set state = 'interrupted', ended_at = ?1, exit_code = 3, message = 'the process ended without a word'
where state = 'running'
returning run_id
