-- The newest run that wrote or was to write. Columns: run_id, command, state, started_at, ended_at, exit_code, folder, message, spec_digest.
-- Grain: none or one.
select run_id, command, state, started_at, ended_at, exit_code, folder, message, spec_digest
from runs where run_id = (select max(run_id) from migrations)
