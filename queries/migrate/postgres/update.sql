-- Changes records that are there and differ. Parameters: table, set, same, differs, allowed, returning; $1 and $2 the first and the last
-- place in the batch. Columns: recon_n, then as returning. Grain: one record that was changed.
update {{table}} as old set {{set}} from recon_batch as new
where {{same}} and new.recon_found and new.recon_n between $1 and $2 and {{differs}} and {{allowed}} returning new.recon_n, {{returning}}
