-- What a name stands for. Parameters: $1 the name in SQL identifier syntax.
-- Columns: oid, kind (pg_class.relkind), schema, name, may_read, rows (an estimate, -1 where unknown), blocks, file (the number of its
-- file, another one once it is rewritten), guarded (row
-- security, or children by inheritance: it can be read only through its own name). Grain: one row, or none.
select
  c.oid::int8 as oid,
  c.relkind::text as kind,
  n.nspname::text as schema,
  c.relname::text as name,
  has_table_privilege(c.oid, 'select') as may_read,
  c.reltuples::float8 as rows,
  case when c.relkind in ('r', 'm') then pg_relation_size(c.oid) / current_setting('block_size')::int8 else 0 end as blocks,
  coalesce(pg_relation_filenode(c.oid), 0)::int8 as file,
  c.relrowsecurity or (c.relkind = 'r' and c.relhassubclass) as guarded
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = to_regclass($1)
