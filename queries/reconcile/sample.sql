-- Records picked at random, the same for the same seed, from the keys of both sides.
-- Parameters: source, target (hash parts), seed, count. Columns: source_pos, target_pos. Grain: one pair, or one row without
-- counterpart.
with picked as (
  select k1, k2 from (
    (select distinct k1, k2, hash(k1, k2, {{seed}}) as luck from {{source}} where pos >= 0 order by luck limit {{count}})
    union
    (select distinct k1, k2, hash(k1, k2, {{seed}}) as luck from {{target}} where pos >= 0 order by luck limit {{count}})
  ) as both_sides order by luck, k1, k2 limit {{count}}
)
select s.pos as source_pos, t.pos as target_pos
from picked left join {{source}} as s using (k1, k2) left join {{target}} as t using (k1, k2)
where coalesce(s.pos, t.pos) is not null
order by s.pos, t.pos
