-- Which records that are there differ. Parameters: table, same, differs, allowed; $1 and $2 the first and the last place in the batch.
-- Columns: recon_n, allowed (whether they may be changed). Grain: one record.
select new.recon_n, coalesce({{allowed}}, false) as allowed from {{table}} as old join recon_batch as new on {{same}}
where new.recon_found and new.recon_n between $1 and $2 and {{differs}}
