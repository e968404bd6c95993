-- Every record of an entity by its rows. Parameters: source, target (hash parts).
-- Columns: record (a number), on_target, pos. Grain: one row.
select dense_rank() over (order by k1, k2), on_target, pos
from (
  select k1, k2, 0::bigint as on_target, pos from {{source}}
  union all
  select k1, k2, 1::bigint, pos from {{target}}
) as rows
order by 1, on_target, pos
