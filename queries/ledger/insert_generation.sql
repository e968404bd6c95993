-- Begins a generation. Parameters: dataset, definition, run_id, started_at, warnings. Grain: one generation.
insert into generations (dataset, definition, state, run_id, started_at, warnings) values (?1, ?2, 'staging', ?3, ?4, ?5)
