-- The columns of a table, domains resolved to what they are made of. Parameters: $1 its oid.
-- Columns: name, type (its oid), type_name, declared (as SQL writes it), kind (pg_type.typtype), category (pg_type.typcategory),
-- element (oid of an array's elements, 0 for none). Grain: one column, in order.
with recursive base as (
  select a.attnum, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as declared, a.atttypid as type
  from pg_attribute a
  where a.attrelid = $1::int8::oid and a.attnum > 0 and not a.attisdropped
  union all
  select base.attnum, base.name, base.declared, t.typbasetype
  from base
  join pg_type t on t.oid = base.type
  where t.typtype = 'd'
)
select
  base.name,
  t.oid::int8 as type,
  t.typname::text as type_name,
  base.declared,
  t.typtype::text as kind,
  t.typcategory::text as category,
  case when t.typcategory = 'A' then t.typelem::int8 else 0 end as element
from base
join pg_type t on t.oid = base.type
where t.typtype <> 'd'
order by base.attnum
