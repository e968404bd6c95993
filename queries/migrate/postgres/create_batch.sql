-- The table that a session's batches are copied into. Parameters: columns, table. Columns: n (the record's place in the batch), found
-- (whether the target has its key), then as in the table.
create temporary table recon_batch on commit delete rows as select 0::int as n, false as found, {{columns}} from {{table}} with no data
