-- What all rows hold under some names: types of paths (path_tags.sql) and sizes of numbers (number_size.sql).
-- Parameters: facts (these pieces), values (what they look at), rows. Columns: the pieces'. Grain: one row.
select {{facts}} from (select {{values}} from ({{rows}}) as staged) as seen
