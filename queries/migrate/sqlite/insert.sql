-- Writes a record that is not there, whatever its table says of conflicts. Parameters: table, columns, places; ?1 and following the
-- record. Grain: one record.
insert or abort into {{table}} ({{columns}}) values ({{places}})
