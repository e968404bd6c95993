-- What a table is called, and how many unique indexes it has, that of its key among them. Parameters: $1 the table as regclass takes it.
-- Columns: name (as references.sql has those that refer), unique_indexes. Grain: one row.
select $1::regclass::text as name,
  (select count(*) from pg_index where indrelid = $1::regclass and indisunique) as unique_indexes
