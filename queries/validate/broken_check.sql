-- Records that do not keep a condition of the spec's, or for which it fails, as errors. NULL is no violation.
-- Parameters: check, values (what it sees, a continuation of a select list), rows (of a pass), subject, broken, failed (words), file.
-- Columns: pos, subject, code, words. Grain: one such record.
copy (
  select pos, {{subject}}::integer as subject, 'check' as code, case when held is null then {{failed}} else {{broken}} end as words
  from (
    select __recon_pos as pos, try({'v': ({{check}}
    )}) as held
    from (select pos as __recon_pos {{values}} from read_parquet({{rows}})) as record
  ) as asked
  where held is null or held.v = false
) to {{file}} (format parquet)
