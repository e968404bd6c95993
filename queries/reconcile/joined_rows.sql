-- How often rows of each side came out of the join, and how many keys without counterpart occur more than once on their side.
-- Parameters: verdicts (classify.sql). Columns: source_rows, target_rows, repeated_keys. Grain: one row.
select
  count(source_pos),
  count(target_pos),
  (
    select count(*)
    from (
      select 1 from {{verdicts}} where alone_k1 is not null
      group by alone_k1, alone_k2, source_pos is null having count(*) > 1
    ) as repeated
  )
from {{verdicts}}
