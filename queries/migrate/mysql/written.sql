-- Rows as they are after they were written. Parameters: digest (of the whole row), images, batch, table, same, state, low and high (the
-- first and the last place). Columns: recon_n, digest, then the images. Grain: one record.
select new.recon_n, {{digest}}, {{images}} from {{batch}} as new straight_join {{table}} as old on {{same}}
where new.recon_state = {{state}} and new.recon_n between {{low}} and {{high}} order by new.recon_n
