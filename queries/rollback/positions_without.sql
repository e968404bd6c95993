-- What a run has written, without the records that were taken back. Parameters: done, positions, out (files). Columns: pos. Grain: one record.
copy (
  select pos from read_parquet({{done}}) where pos not in (select pos from read_parquet({{positions}})) order by pos
) to {{out}} (format parquet)
