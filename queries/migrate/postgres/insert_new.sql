-- Writes records of which none is expected to be there: a key that is there breaks the unique index. Parameters: table, columns,
-- overriding, values, returning; $1 and $2 the first and the last place in the batch. Columns: as returning. Grain: one record that was written.
insert into {{table}} as old ({{columns}}) {{overriding}} select {{values}} from recon_batch as new
where new.recon_n between $1 and $2 order by new.recon_n returning {{returning}}
