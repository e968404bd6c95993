-- Begins to take back what runs changed of an entity. Parameters: run_id, entity, target, options, undo_of, is_whole. Grain: one entity of a run.
insert into rollbacks (run_id, entity, target, options, undo_of, is_whole, changes, state) values (?1, ?2, ?3, ?4, ?5, ?6, 0, 'planning')
