-- The tables of a MySQL or MariaDB database, as the spec's `table` spells them.
-- Columns: name. Grain: one table that the user may read.
select concat('"', replace(table_name, '"', '""'), '"') as name
from information_schema.tables
where table_schema = database() and table_type = 'BASE TABLE'
order by table_name
