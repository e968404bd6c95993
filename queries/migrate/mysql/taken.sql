-- Whether the row that the index has under a record's key has exactly that key. Parameters: exact, batch, table, same, place. Columns:
-- exact. Grain: one row, where there is one.
select {{exact}} from {{batch}} as new straight_join {{table}} as old on {{same}} where new.recon_n = {{place}}
