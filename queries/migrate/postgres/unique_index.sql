-- Whether a unique index that is always in force is on exactly these columns, and whether one of them takes the same keys for equal as
-- the columns themselves do. Parameters: $1 the table as regclass takes it, $2 the columns' names, sorted. Columns: found, alike.
-- Grain: one row.
select count(*) > 0 as found, coalesce(bool_or(key.alike), false) as alike
from pg_index i
cross join lateral (
  select array_agg(a.attname::text order by a.attname::text collate "C") as names,
    bool_and(k.collation_oid = a.attcollation and o.opcdefault) as alike
  from unnest(i.indkey::int2[], i.indcollation::oid[], i.indclass::oid[]) with ordinality as k (attnum, collation_oid, class, place)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  left join pg_opclass o on o.oid = k.class
  where k.place <= i.indnkeyatts
) as key
where i.indrelid = $1::regclass and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
  and key.names = $2::text[]
