-- The foreign keys that refer to a table. Parameters: schema; ?1 the table, ?2 its schema. Columns: child (its table), id (of the foreign
-- key among the child's), child_column, parent_column. Grain: one column of one foreign key.
select m.name as child, f.id as id, f."from" as child_column,
  coalesce(f."to", (select p.name from pragma_table_info(?1, ?2) as p where p.pk = f.seq + 1)) as parent_column
from {{schema}}.sqlite_schema as m, pragma_foreign_key_list(m.name, ?2) as f
where m.type = 'table' and lower(f."table") = lower(?1)
order by m.name, f.id, f.seq
