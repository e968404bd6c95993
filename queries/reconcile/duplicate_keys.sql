-- The keys that occur more than once on a side, with both sides' counts and whether the two multisets of rows are equal.
-- Rows with a negative position only mark a counterpart and are not counted. No row is gathered into a list, since all rows of
-- a side may have one key: equal multisets have each row as often on either side.
-- Parameters: source, target (hash parts), image (the columns that make a row what it is, each with a name).
-- Columns: k1, k2, source_count, target_count, equal, source_pos, target_pos (of one row a side). Grain: one key.
create or replace temp table duplicate_keys as
with keys as (
  select k1, k2 from {{source}} where k1 is not null and pos >= 0 group by all having count(*) > 1
  union
  select k1, k2 from {{target}} where k1 is not null and pos >= 0 group by all having count(*) > 1
),
source_rows as (
  select k1, k2, count(*) as n, min(pos) as pos, bool_or(failed) as failed
  from {{source}} semi join keys using (k1, k2) where pos >= 0 group by all
),
target_rows as (
  select k1, k2, count(*) as n, min(pos) as pos, bool_or(failed) as failed
  from {{target}} semi join keys using (k1, k2) where pos >= 0 group by all
),
both_sides as (
  select k1, k2, 1 as side, {{image}} from {{source}} semi join keys using (k1, k2) where pos >= 0
  union all
  select k1, k2, -1 as side, {{image}} from {{target}} semi join keys using (k1, k2) where pos >= 0
),
unequal as (
  select distinct k1, k2, true as differs from (select * exclude (side), sum(side) as surplus from both_sides group by all) where surplus <> 0
)
select
  k1, k2,
  coalesce(s.n, 0) as source_count,
  coalesce(t.n, 0) as target_count,
  coalesce(u.differs is null and not s.failed and not t.failed, false) as equal,
  s.pos as source_pos,
  t.pos as target_pos
from keys
left join source_rows as s using (k1, k2)
left join target_rows as t using (k1, k2)
left join unequal as u using (k1, k2)
