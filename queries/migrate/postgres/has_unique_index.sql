-- Whether a unique index that is always in force is on exactly these columns. Parameters: $1 the table as regclass takes it, $2 the
-- columns' names, sorted. Columns: found. Grain: one row.
select exists (
  select 1 from pg_index i
  where i.indrelid = $1::regclass and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
    and (
      select array_agg(a.attname::text order by a.attname::text collate "C")
      from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
      where k.place <= i.indnkeyatts
    ) = $2::text[]
) as found
