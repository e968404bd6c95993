-- Changes a record that is there, whatever its table says of conflicts. Parameters: table, set, values, same; ?1 and following the
-- record. Grain: one record.
update or abort {{table}} as old set {{set}} from (select {{values}}) as new where {{same}}
