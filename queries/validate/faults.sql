-- Why records are not to be written: all errors of each in one. Parameters: errors, subjects (rows of number, name and field), file.
-- Columns: pos, code, field, message. Grain: one record.
copy (
  select
    e.pos, min((e.subject, e.code, e.words, s.field))[2] as code, min((e.subject, e.code, e.words, s.field))[4] as field,
    string_agg(s.name || ': ' || e.words, '; ' order by e.subject, e.code, e.words) as message
  from read_parquet({{errors}}) as e join (values {{subjects}}) as s(subject, name, field) on e.subject = s.subject
  group by e.pos
) to {{file}} (format parquet)
