-- The tables and views that could be meant by a name nobody has.
-- Columns: name. Grain: one table or view outside the system's schemas.
select case when pg_table_is_visible(c.oid) then quote_ident(c.relname) else quote_ident(n.nspname) || '.' || quote_ident(c.relname) end as name
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname not in ('pg_catalog', 'information_schema')
  and n.nspname not like 'pg_toast%'
order by name
limit 1000
