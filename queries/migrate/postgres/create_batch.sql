-- The table that a session's batches are copied into. Parameters: columns, table. Columns: recon_n (the record's place in the batch), recon_found
-- (whether the target has its key), then as in the table.
create temporary table recon_batch on commit delete rows as select 0::int as recon_n, false as recon_found, {{columns}} from {{table}} with no data
