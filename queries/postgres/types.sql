-- What types are, domains resolved to what they are made of. Parameters: $1 their oids, in the order of a query's columns.
-- Columns and grain: as in columns.sql, without names.
with recursive base as (
  select asked.position, format_type(asked.type::oid, null) as declared, asked.type::oid as type
  from unnest($1::int8[]) with ordinality as asked (type, position)
  union all
  select base.position, base.declared, t.typbasetype
  from base
  join pg_type t on t.oid = base.type
  where t.typtype = 'd'
)
select
  t.oid::int8 as type,
  t.typname::text as type_name,
  base.declared,
  t.typtype::text as kind,
  t.typcategory::text as category,
  case when t.typcategory = 'A' then t.typelem::int8 else 0 end as element
from base
join pg_type t on t.oid = base.type
where t.typtype <> 'd'
order by base.position
