-- Rows that refer to others. Parameters: own (what is wanted of them), batch, table, same, child, refers (the other row refers to it).
-- Columns: recon_n of the row that is referred to, then own. Grain: one row that refers to it.
select new.recon_n{{own}} from {{batch}} as new straight_join {{table}} as old on {{same}} straight_join {{child}} as child on {{refers}}
