-- The positions of the rows with one key. Parameters: source, target (hash parts), k1, k2.
-- Columns: on_target, pos. Grain: one row.
select 0::bigint as on_target, pos from {{source}} where k1 = {{k1}} and k2 = {{k2}}
union all
select 1::bigint, pos from {{target}} where k1 = {{k1}} and k2 = {{k2}}
order by on_target, pos
