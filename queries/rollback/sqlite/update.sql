-- Writes columns of a row that is there, whatever its table says of conflicts. Parameters: table, set, same; ?1 and following the key, then
-- the columns. Grain: one row.
update or abort {{table}} as old set {{set}} where {{same}}
