-- Rows of some keys. Parameters: images (every column as text), table, keys (names of the key's texts), texts (a parameter for each of them),
-- same (the keys are equal), lock; $1 their places, $2 and following the texts of each column of the key. Columns: recon_n, then each
-- column as text. Grain: one row that is there.
select new.recon_n, {{images}} from unnest($1::int[], {{texts}}) as new (recon_n, {{keys}}) join {{table}} as old on {{same}}{{lock}}
