-- The unique constraints and indexes of a table whose columns are never NULL. Parameters: $1 its oid.
-- Columns: is_primary, columns (in order). Grain: one index, the primary key first.
select
  i.indisprimary as is_primary,
  array_agg(a.attname::text order by k.position) as columns
from pg_index i
cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, position)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = $1::int8::oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
  and k.position <= i.indnkeyatts
group by i.indexrelid, i.indisprimary
having bool_and(a.attnotnull)
order by i.indisprimary desc, i.indexrelid
