-- Records that did not go through. Parameters: run_id or NULL for all runs, entity or NULL for all, whether those are left out that
-- were tried again since. Columns: run_id, entity, batch, pos, generation, key, key_hash, stage, class, code, column, message,
-- attempts. Grain: one record of a run.
select run_id, entity, batch, pos, generation, key, key_hash, stage, class, code, "column", message, attempts
from exceptions
where (?1 is null or run_id = ?1) and (?2 is null or entity = ?2) and (not ?3 or resolved_by is null)
order by entity, run_id, batch, pos
