-- Whether recon's own table is there. Columns: found. Grain: one row.
select to_regclass('recon.batches') is not null as found
