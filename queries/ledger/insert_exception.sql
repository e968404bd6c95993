-- Records that a record did not go through. Parameters: run_id, entity, batch, pos, generation, key, key_hash, stage, class, code,
-- column, message, attempts. Grain: one record of a run.
insert into exceptions
  (run_id, entity, batch, pos, generation, key, key_hash, stage, class, code, "column", message, attempts)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
