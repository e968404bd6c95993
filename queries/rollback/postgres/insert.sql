-- Writes rows that were taken away. Parameters: table, columns, values (each text cast to its column), texts (a parameter for each column),
-- names; $1 and following the texts of each column. Grain: one row.
insert into {{table}} ({{columns}}) overriding system value select {{values}} from unnest({{texts}}) as new ({{names}})
