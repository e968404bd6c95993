-- Changes records that are there and differ. Parameters: batch, table, same, set, low and high (the first and the last place).
-- Grain: one record.
update {{batch}} as new straight_join {{table}} as old on {{same}} set {{set}}
where new.recon_state = 2 and new.recon_n between {{low}} and {{high}}
