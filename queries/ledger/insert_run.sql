-- Begins a run. Parameters: run_id, command, spec_digest, epoch, started_at. Grain: one run.
insert into runs (run_id, command, spec_digest, state, epoch, started_at) values (?1, ?2, ?3, 'running', ?4, ?5)
