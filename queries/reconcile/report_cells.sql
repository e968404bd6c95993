-- The differing cells of an entity in the order of the report: by key, then by field.
-- Parameters: cells (file glob). Columns: the key's, field, rule, source, target, delta, source_kind,
-- target_kind. Grain: one differing cell.
select * exclude (sort, seq, source_pos, target_pos) from read_parquet({{cells}}, hive_partitioning = false) order by sort, seq
