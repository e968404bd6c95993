-- Removes rows. Parameters: table, keys, texts, same; $1 their places, $2 and following the texts of each column of the key. Grain: one row.
delete from {{table}} as old using unnest($1::int[], {{texts}}) as new (recon_n, {{keys}}) where {{same}}
