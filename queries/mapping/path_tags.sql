-- Which types the values of one path have, over all rows; a piece of facts.sql. Parameters: value (the typed value as JSON),
-- cases (a bit for each type's tag), unknown (the bit of any other). Columns: one integer, NULL where no row has the path.
bit_or(case when {{value}} is not null then case json_keys({{value}})[1] {{cases}} else {{unknown}} end end)
