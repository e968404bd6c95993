-- The verdict of every row of an entity without a key: of n equal rows in the source and m in the target, min(n, m) match.
-- Parameters: source, target (hash parts), file. Columns: verdict (0, 2, 3, 4 as in classify.sql), source_pos, target_pos.
-- Grain: one pair, or one row without counterpart. A pair's two positions are those of equal rows.
copy (
  with
  s as (select *, row_number() over (partition by k1, k2 order by pos) as nth from {{source}} where not failed),
  t as (select *, row_number() over (partition by k1, k2 order by pos) as nth from {{target}} where not failed)
  select
    (case when t.pos is null then 2 when s.pos is null then 3 else 0 end)::utinyint as verdict,
    s.pos as source_pos,
    t.pos as target_pos
  from s full join t on s.k1 = t.k1 and s.k2 = t.k2 and s.nth = t.nth
  union all
  select 4::utinyint, pos, null from {{source}} where failed
  union all
  select 4::utinyint, null, pos from {{target}} where failed
) to {{file}} (format parquet, compression uncompressed, row_group_size 122880)
