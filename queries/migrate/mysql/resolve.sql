-- Works out what columns are to have that are not simply overwritten. Parameters: batch, table, same, resolved, low and high (the first
-- and the last place). Grain: one record that is there.
update {{batch}} as new straight_join {{table}} as old on {{same}} set {{resolved}}
where new.recon_state = 1 and new.recon_n between {{low}} and {{high}}
