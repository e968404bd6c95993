-- What is there of a batch's records, locked until the batch is committed. Parameters: exact (the keys are the same byte by byte), images
-- (every column as the server writes it), batch, table, same (the keys are equal to the index). Columns: recon_n, exact, then the images.
-- Grain: one record that is there.
select new.recon_n, {{exact}}, {{images}} from {{batch}} as new straight_join {{table}} as old on {{same}}
where new.recon_state = 0 for update
