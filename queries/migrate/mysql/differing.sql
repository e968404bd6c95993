-- Records that are there and would be changed. Parameters: allowed (whether they may be), batch, table, same, differs. Columns: recon_n,
-- allowed. Grain: one record.
select new.recon_n, {{allowed}} from {{batch}} as new straight_join {{table}} as old on {{same}} where new.recon_state = 1 and ({{differs}})
