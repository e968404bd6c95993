-- The tables of a SQLite file, as the spec's `table` spells them.
-- Columns: name. Grain: one table.
select '"' || replace(name, '"', '""') || '"' as name
from sqlite_schema
where type = 'table' and name not like 'sqlite\_%' escape '\'
order by name
