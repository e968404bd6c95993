-- Records that have a group of values in common with others, as errors. Parameters: rows (of a pass), h, l (the columns of the group's
-- hash), subject, code, words (what follows the number of such records), file. Columns: pos, subject, code, words. Grain: one such record.
copy (
  select r.pos, {{subject}}::integer as subject, {{code}} as code, g.n || ' ' || {{words}} as words
  from read_parquet({{rows}}) as r
  join (
    select {{h}} as h, {{l}} as l, count(*) as n from read_parquet({{rows}}) where {{h}} is not null group by all having count(*) > 1
  ) as g on r.{{h}} = g.h and r.{{l}} = g.l
) to {{file}} (format parquet)
