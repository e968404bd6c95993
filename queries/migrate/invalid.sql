-- Joins to each record why it breaks the spec's rules. Parameters: file. Columns: fault_pos, fault (code, field and message as a JSON array).
-- Grain: one record.
left join (
  select pos as fault_pos, cast(json_array(code, field, message) as varchar) as fault from read_parquet({{file}})
) as invalid on fault_pos = pos
