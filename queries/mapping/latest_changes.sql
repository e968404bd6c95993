-- The last window of a chain of exports in which each key changed. Parameters: rows (staged_rows.sql), failures (select of the
-- records that did not parse, continuing, or nothing). Columns: k1, k2, last_window. Grain: one key that changed.
select k1, k2, max(changed_in) as last_window
from (
  select __recon_k1 as k1, __recon_k2 as k2, __recon_window as changed_in from ({{rows}}) as changes
  {{failures}}
) as changes
where changed_in > 0
group by all
