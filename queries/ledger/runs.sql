-- Runs, newest first. Parameters: how many.
-- Columns: run_id, command, state, started_at, ended_at, exit_code, folder, message. Grain: one run.
select run_id, command, state, started_at, ended_at, exit_code, folder, message
from runs order by started_at desc, run_id desc limit ?1
