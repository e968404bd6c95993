-- The rows of a chain of exports as of its last window: a row is superseded by a later window's record with its key, also by one
-- that did not parse, and a deletion is no row. Parameters: rows (staged_rows.sql), latest (latest_changes.sql).
-- Columns: as staged_rows.sql. Grain: one live item.
select r.*
from ({{rows}}) as r
left join ({{latest}}) as latest on latest.k1 = r.__recon_k1 and latest.k2 = r.__recon_k2
where not r.__recon_deleted and r.__recon_window >= coalesce(latest.last_window, 0)
