-- The columns of a table whose values are written. Parameters: $1 the table as regclass takes it. Columns: name, type (as a cast takes it, so
-- that it cuts nothing off). Grain: one column.
select a.attname::text as name, format('%I.%I', n.nspname, t.typname) as type
from pg_attribute a
join pg_type t on t.oid = a.atttypid
join pg_namespace n on n.oid = t.typnamespace
where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
order by a.attnum
