-- Runs, newest first. Parameters: how many.
-- Columns: run_id, command, state, started_at, ended_at, exit_code, folder, message, spec_digest. Grain: one run.
select run_id, command, state, started_at, ended_at, exit_code, folder, message, spec_digest
from runs order by started_at desc, run_id desc limit ?1
