-- Writes a row that was taken away, whatever its table says of conflicts. Parameters: table, columns, places; ?1 and following the row.
-- Grain: one row.
insert or abort into {{table}} ({{columns}}) values ({{places}})
