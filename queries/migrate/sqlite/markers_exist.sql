-- Whether recon's own table is there. Parameters: schema. Columns: found. Grain: one row.
select exists (select 1 from {{schema}}.sqlite_schema where name = 'recon_batches') as found
