-- Keeps how far a run is, in place of how far it was. Parameters: run_id, units_done, units_total, bytes_done, bytes_total,
-- rows, failures, at, planned, retries, rows_before, began_at. Grain: one run.
insert or replace into progress (run_id, units_done, units_total, bytes_done, bytes_total, rows, failures, at, planned, retries,
  rows_before, began_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
