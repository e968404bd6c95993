-- The rows whose key occurs more than once; continues classify.sql. Parameters: source, target, no_beside.
-- Columns: as there. Grain: one row.
union all
select 5::utinyint, pos, null, null, null {{no_beside}}
from {{source}} semi join duplicate_keys using (k1, k2) where pos >= 0
union all
select 5::utinyint, null, pos, null, null {{no_beside}}
from {{target}} semi join duplicate_keys using (k1, k2) where pos >= 0
