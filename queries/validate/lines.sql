-- The lines on which staged records with errors began. Parameters: rows (staged_rows.sql), errors. Columns: pos, line. Grain: one record.
select __recon_pos as pos, __recon_line::bigint as line from ({{rows}}) as staged
where __recon_pos in (select pos from read_parquet({{errors}}))
