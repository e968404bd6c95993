-- The units of a generation in their order. Parameters: generation.
-- Columns: ordinal, path, stamp, digest, expected, bytes, rows, failures, parts, columns, failed, next. Grain: one unit.
select ordinal, path, stamp, digest, expected, bytes, rows, failures, parts, columns, failed, next
from units where generation = ?1 order by ordinal
