-- What became of values that the server writes in its own way. Parameters: columns, batch. Columns: recon_n, then the columns.
-- Grain: one record.
select recon_n, {{columns}} from {{batch}}
