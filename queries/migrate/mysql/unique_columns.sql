-- The columns of a table's unique indexes. Parameters: the database, the table. Columns: index_name, column_name (NULL for an expression),
-- is_prefix (only a beginning of its values is unique). Grain: one column of one index.
select index_name as index_name, column_name as column_name, sub_part is not null as is_prefix
from information_schema.statistics where table_schema = ? and table_name = ? and non_unique = 0 order by index_name, seq_in_index
