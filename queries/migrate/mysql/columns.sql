-- The columns of a table as they are written. Parameters: the database, the table. Columns: name, data_type, column_type (as it is
-- declared), nullable, chars and bytes (the most of a text), digits and scale (of a number), fraction (digits of a second), charset,
-- collation, is_generated. Grain: one column.
select column_name as name, data_type as data_type, column_type as column_type, is_nullable = 'YES' as nullable,
  character_maximum_length as chars, character_octet_length as bytes, numeric_precision as digits, numeric_scale as scale,
  datetime_precision as fraction, character_set_name as charset, collation_name as collation,
  coalesce(generation_expression, '') <> '' as is_generated
from information_schema.columns where table_schema = ? and table_name = ? order by ordinal_position
