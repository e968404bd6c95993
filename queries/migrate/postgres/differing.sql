-- Records that are there, would be changed, and must not be. Parameters: table, same, differs, barred. Columns: recon_n.
-- Grain: one record.
select new.recon_n from {{table}} as old join recon_batch as new on {{same}} where new.recon_found and {{differs}} and {{barred}}
