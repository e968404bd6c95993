-- The columns of a table as they are written. Parameters: $1 the table as regclass takes it.
-- Columns: name, type (a domain's is its base type's), modifier (of the type, -1 where there is none), generated, always_identity.
-- Grain: one column.
select a.attname::text as name,
  coalesce(b.typname, t.typname)::text as type,
  case when b.oid is null then a.atttypmod else t.typtypmod end as modifier,
  a.attgenerated <> '' as generated,
  a.attidentity = 'a' as always_identity
from pg_attribute a
join pg_type t on t.oid = a.atttypid
left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum
