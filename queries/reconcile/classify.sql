-- The verdict of every row of an entity with a key: 0 matched, 1 mismatched (or not surely within a tolerance), 2 missing,
-- 3 extra, 4 unchecked, 5 duplicate.
-- Parameters: source, target (hash parts), except (keeps duplicates out of the join, or nothing), equal (predicates of fields
-- beside the hash), beside (their statistics), no_beside (as many NULLs), rows_max (where the join ends early, or nothing), file.
-- Columns: verdict, source_pos, target_pos, key of a row without counterpart (alone_k1, alone_k2), then per tolerant field its
-- delta d<i>, per field with a predicate of its own what it says p<i>, per field with own forms x<i>.
-- Grain: one pair, or one row without counterpart.
copy (
  select
    case
      when coalesce(s.failed, false) or coalesce(t.failed, false) then 4
      when t.pos is null then 2
      when s.pos is null then 3
      when s.r1 = t.r1 and s.r2 = t.r2 {{equal}} then 0
      else 1
    end::utinyint as verdict,
    s.pos as source_pos,
    t.pos as target_pos,
    case when t.pos is null then s.k1 when s.pos is null then t.k1 end as alone_k1,
    case when t.pos is null then s.k2 when s.pos is null then t.k2 end as alone_k2
    {{beside}}
  from (select * from {{source}} {{except}}) as s
  full join (select * from {{target}} {{except}}) as t on s.k1 = t.k1 and s.k2 = t.k2
  {{rows_max}}
  {{duplicates}}
) to {{file}} (format parquet, compression uncompressed, row_group_size 122880)
