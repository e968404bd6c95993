-- The lines on which staged rows began. Parameters: rows (staged_rows.sql), on_target, records. Columns: pos, on_target, line.
-- Grain: one row that did not cast.
select __recon_pos as pos, {{on_target}} as on_target, __recon_line::bigint as line
from ({{rows}}) as staged
where __recon_pos in (select pos from read_parquet({{records}}, hive_partitioning = false) where verdict = 4)
