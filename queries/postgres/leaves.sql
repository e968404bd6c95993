-- The partitions that hold the rows of a partitioned table. Parameters: $1 its oid.
-- Columns: schema, name, kind, may_read, guarded, blocks, file (the number of its file). Grain: one leaf.
select
  n.nspname::text as schema,
  c.relname::text as name,
  c.relkind::text as kind,
  has_table_privilege(c.oid, 'select') as may_read,
  c.relrowsecurity as guarded,
  case when c.relkind = 'r' then pg_relation_size(c.oid) / current_setting('block_size')::int8 else 0 end as blocks,
  coalesce(pg_relation_filenode(c.oid), 0)::int8 as file
from pg_partition_tree($1::int8::oid::regclass) t
join pg_class c on c.oid = t.relid
join pg_namespace n on n.oid = c.relnamespace
where t.isleaf
order by 1, 2
