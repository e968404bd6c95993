-- The foreign keys that refer to a table. Parameters: $1 the table as regclass takes it. Columns: child (its table, quoted), is_self,
-- child_columns, parent_columns. Grain: one foreign key.
select c.conrelid::regclass::text as child, c.conrelid = c.confrelid as is_self,
  array(
    select a.attname::text from unnest(c.conkey) with ordinality as k (n, i)
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.n order by k.i
  ) as child_columns,
  array(
    select a.attname::text from unnest(c.confkey) with ordinality as k (n, i)
    join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.n order by k.i
  ) as parent_columns
from pg_constraint c
where c.contype = 'f' and c.confrelid = $1::regclass
order by c.conrelid::regclass::text, c.conname
