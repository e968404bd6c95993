-- Says that a batch is about to be written. Parameters: run_id, entity, batch, records, hash. Grain: one batch.
insert into batches (run_id, entity, batch, records, hash, state) values (?1, ?2, ?3, ?4, ?5, 'INTENT')
on conflict (run_id, entity, batch) do nothing
