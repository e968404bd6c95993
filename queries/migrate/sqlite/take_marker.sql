-- Takes a batch's marker; nothing where it is taken. Parameters: markers; run_id, entity, batch, hash. Grain: one batch.
insert into {{markers}} (run_id, entity, batch, hash) values (?1, ?2, ?3, ?4) on conflict do nothing
