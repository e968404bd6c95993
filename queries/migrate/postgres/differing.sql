-- Records that are there, would be changed, and must not be. Parameters: table, same, differs, barred. Columns: n.
-- Grain: one record.
select new.n from {{table}} as old join recon_batch as new on {{same}} where new.found and {{differs}} and {{barred}}
