-- The rows of a chain of exports as of its last window: a row is superseded by a later window's row with its key, and a
-- deletion is no row. Parameters: rows (staged_rows.sql). Columns: as there. Grain: one live item.
select r.*
from ({{rows}}) as r
left join (
  select __recon_k1 as k1, __recon_k2 as k2, max(__recon_window) as last_window
  from ({{rows}}) as changes
  where __recon_window > 0
  group by all
) as latest on latest.k1 = r.__recon_k1 and latest.k2 = r.__recon_k2
where not r.__recon_deleted and r.__recon_window >= coalesce(latest.last_window, 0)
