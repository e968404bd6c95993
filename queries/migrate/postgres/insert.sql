-- Writes records that are not there. Parameters: table, columns, overriding, values, key, returning; $1 and $2 the first and the last
-- place in the batch. Columns: as returning. Grain: one record that was written.
insert into {{table}} as old ({{columns}}) {{overriding}} select {{values}} from recon_batch as new
where new.recon_found is not true and new.recon_n between $1 and $2 order by new.recon_n
on conflict ({{key}}) do nothing returning {{returning}}
