-- Records of the source whose parent is in the source and not in the target, as errors; but for those that are in the target
-- themselves and refer to the same there, which are orphans of the target. Parameters: children, parents, target_parents (rows of
-- passes), h, l, ph, pl, th, tl (columns of the reference's hash in each), arrived (joins those that are in the target, or nothing),
-- subject, words, file. Columns: pos, subject, code, words. Grain: one such record.
copy (
  select c.pos, {{subject}}::integer as subject, 'across' as code, {{words}} as words
  from read_parquet({{children}}) as c
  semi join read_parquet({{parents}}) as p on c.{{h}} = p.{{ph}} and c.{{l}} = p.{{pl}}
  anti join read_parquet({{target_parents}}) as t on c.{{h}} = t.{{th}} and c.{{l}} = t.{{tl}}
  {{arrived}}
) to {{file}} (format parquet)
