-- How many unique indexes a table has, that of its key among them. Parameters: $1 the table as regclass takes it. Columns: indexes. Grain: one row.
select count(*) as indexes from pg_index where indrelid = $1::regclass and indisunique
