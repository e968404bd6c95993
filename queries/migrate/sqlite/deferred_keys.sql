-- The foreign keys of a table that are checked only at the commit; all of its foreign keys, where one may be, since SQLite does not say which
-- it is. Parameters: schema; ?1 the table, ?2 its schema. Columns: id, parent (the table that is referred to), child_column, parent_column.
-- Grain: one column of one foreign key.
select f.id as id, f."table" as parent, f."from" as child_column,
  coalesce(f."to", (select p.name from pragma_table_info(f."table", ?2) as p where p.pk = f.seq + 1)) as parent_column
from pragma_foreign_key_list(?1, ?2) as f
where exists (
  select 1 from {{schema}}.sqlite_schema as m where m.type = 'table' and lower(m.name) = lower(?1) and m.sql like '%deferred%'
)
order by f.id, f.seq
