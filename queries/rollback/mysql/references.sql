-- The foreign keys that refer to a table. Parameters: the database, the table. Columns: child_schema,
-- child, name, child_column, parent_column. Grain: one column of one foreign key.
select k.table_schema as child_schema, k.table_name as child, k.constraint_name as name, k.column_name as child_column,
  k.referenced_column_name as parent_column
from information_schema.key_column_usage as k
where k.referenced_table_schema = ? and k.referenced_table_name = ?
order by k.table_schema, k.table_name, k.constraint_name, k.ordinal_position
