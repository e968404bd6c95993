-- The tables of a PostgreSQL database, as the spec's `table` spells them. A partition belongs to its table.
-- Columns: name; left_out, why it cannot be a dataset, NULL where it can. Grain: one table that the user may read.
select case when pg_table_is_visible(c.oid) then quote_ident(c.relname) else quote_ident(n.nspname) || '.' || quote_ident(c.relname) end as name,
  case
    when not exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) then 'it has no columns'
    when row_security_active(c.oid) then 'a policy hides rows of it from this user'
  end as left_out
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
  and not c.relispartition
  and n.nspname not in ('pg_catalog', 'information_schema')
  and n.nspname not like 'pg_toast%'
  and has_table_privilege(c.oid, 'select')
order by name
