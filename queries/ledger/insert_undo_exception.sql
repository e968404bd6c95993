-- Keeps a change that was not taken back, or not to the letter. Parameters: run_id, entity, batch, of_run, seq, key, state, code, column,
-- message, images. Grain: one change.
insert into undo_exceptions (run_id, entity, batch, of_run, seq, key, state, code, "column", message, images)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
