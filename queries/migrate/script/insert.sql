-- Of a script for people: writes a record that is not there. Parameters: table, columns, overriding, values, from, same (the keys are
-- equal to the index). Grain: one record.
insert into {{table}} ({{columns}}) {{overriding}} select {{values}} {{from}} where not exists (select 1 from {{table}} as old where {{same}})
