-- Some staged rows, copied into a file of their own. Parameters: rows (staged rows), positions (a list), file.
-- Columns: the parts' columns. Grain: one staged row.
copy (select * exclude (__recon_pos) from ({{rows}}) as staged where __recon_pos in ({{positions}}))
to {{file}} (format parquet)
