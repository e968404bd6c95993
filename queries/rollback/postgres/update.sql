-- Writes columns of rows that are there. Parameters: table, set, keys, names, texts, same; $1 their places, then the texts of each column of the
-- key, then those of each column that is written. Grain: one row.
update {{table}} as old set {{set}} from unnest($1::int[], {{texts}}) as new (recon_n, {{keys}}, {{names}}) where {{same}}
