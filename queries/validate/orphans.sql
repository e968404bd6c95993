-- Records that refer to no record, as errors. Parameters: children, parents (rows of passes), h, l (the children's columns of the
-- reference's hash), ph, pl (the parents'), subject, code, words, file. Columns: pos, subject, code, words. Grain: one such record.
copy (
  select c.pos, {{subject}}::integer as subject, {{code}} as code, {{words}} as words
  from read_parquet({{children}}) as c
  anti join read_parquet({{parents}}) as p on c.{{h}} = p.{{ph}} and c.{{l}} = p.{{pl}}
  where c.{{h}} is not null
) to {{file}} (format parquet)
