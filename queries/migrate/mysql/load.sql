-- Loads records of a batch. Parameters: batch, columns, rows (a parenthesis of literals for each record). Grain: one record.
insert into {{batch}} (recon_n, {{columns}}) values {{rows}}
