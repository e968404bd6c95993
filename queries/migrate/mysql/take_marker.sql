-- Takes a batch's marker; a duplicate where it is taken. Parameters: markers; run_id, entity, batch, hash. Grain: one batch.
insert into {{markers}} (run_id, entity, batch, hash) values (?, ?, ?, ?)
