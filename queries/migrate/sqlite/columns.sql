-- The columns of a table as they are written. Parameters: ?1 the table, ?2 its schema. Columns: name, declared, generated, pk (its place
-- in the primary key, else 0). Grain: one column.
select name, type as declared, hidden in (2, 3) as generated, pk from pragma_table_xinfo(?1, ?2) where hidden <> 1 order by cid
