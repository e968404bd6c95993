-- Rows of some keys. Parameters: images (every column as the server writes it), batch, table, same (the keys are equal to the index), lock.
-- Columns: recon_n, then the images. Grain: one row that is there.
select new.recon_n, {{images}} from {{batch}} as new straight_join {{table}} as old on {{same}}{{lock}}
