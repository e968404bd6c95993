-- Changes that a rollback did not take back, or not to the letter. Parameters: run_id. Columns: run_id, entity, batch, of_run, seq, key, state,
-- code, column, message, images. Grain: one change.
select run_id, entity, batch, of_run, seq, key, state, code, "column", message, images
from undo_exceptions where run_id = ?1 order by entity, batch, exception
