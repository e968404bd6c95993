-- What keeps a table's rows from being added up. Parameters: $1 the table as SQL names it.
-- Columns: encoding (of the server's texts), has_children (by inheritance: its key is not theirs). Grain: one row.
select current_setting('server_encoding') as encoding, c.relkind = 'r' and c.relhassubclass as has_children
from pg_class c
where c.oid = to_regclass($1)
