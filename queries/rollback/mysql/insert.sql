-- Writes rows that were taken away. Parameters: table, columns, values, batch. Grain: one row.
insert into {{table}} ({{columns}}) select {{values}} from {{batch}} as new order by new.recon_n
