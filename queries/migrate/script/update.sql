-- Of a script for people: changes a record that is there. Parameters: table, set, same (the keys are equal, letter by letter), allowed.
-- Grain: one record.
update {{table}} as old set {{set}} where {{same}} and {{allowed}}
