-- What a run has written, with the records whose rollback was undone. Parameters: done, positions, out (files). Columns: pos. Grain: one record.
copy (
  select pos from read_parquet({{done}}) union select pos from read_parquet({{positions}}) order by pos
) to {{out}} (format parquet)
