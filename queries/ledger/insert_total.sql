-- Records how many records of an entity are in a state after a run. Parameters: run_id, entity, state, source_records,
-- target_records. Grain: one entity and state.
insert or replace into totals (run_id, entity, state, source_records, target_records) values (?1, ?2, ?3, ?4, ?5)
