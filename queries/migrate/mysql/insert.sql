-- Writes records that are not there. Parameters: table, columns, values, batch, low and high (the first and the last place).
-- Grain: one record.
insert into {{table}} ({{columns}}) select {{values}} from {{batch}} as new
where new.recon_state = 0 and new.recon_n between {{low}} and {{high}} order by new.recon_n
