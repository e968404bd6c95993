-- How far a run is. Parameters: run_id. Columns: units_done, units_total, bytes_done, bytes_total, rows, failures, at, planned,
-- retries, rows_before, began_at. Grain: none or one.
select units_done, units_total, bytes_done, bytes_total, rows, failures, at, planned, retries, rows_before, began_at
from progress where run_id = ?1
