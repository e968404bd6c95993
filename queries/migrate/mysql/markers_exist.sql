-- Whether recon's own table is there. Parameters: the database. Columns: found. Grain: one row.
select exists (select 1 from information_schema.tables where table_schema = ? and table_name = 'recon_batches') as found
