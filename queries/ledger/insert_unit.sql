-- Records a unit whose parts are durable. Parameters: generation, ordinal, path, stamp, digest, expected, bytes, rows,
-- failures, parts, columns, failed (part of the failures), next. Grain: one unit.
insert or replace into units (generation, ordinal, path, stamp, digest, expected, bytes, rows, failures, parts, columns, failed, next)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
