-- What is there of a batch's records, locked until the batch is committed. Parameters: images (every column as text), table, same (the
-- keys are equal), other (they are not the same all the same). Columns: recon_n, place, other, then each column as text. Grain: one record that is there.
select new.recon_n, old.ctid::text as place, {{other}} as other, {{images}} from {{table}} as old join recon_batch as new on {{same}} for update of old
