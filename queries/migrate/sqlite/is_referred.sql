-- Whether what a foreign key refers to is there. Parameters: parent (the table), refers (its columns have the values ?1 and following).
-- Columns: found. Grain: one row.
select exists (select 1 from {{parent}} as parent where {{refers}}) as found
