-- Records what a run sets out to write. Parameters: run_id, entity, kind, generation, mapping, target, options.
-- Grain: one entity of a run.
insert into migrations (run_id, entity, kind, generation, mapping, target, options, records, batches, left_over, state)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, 0, 'planning')
