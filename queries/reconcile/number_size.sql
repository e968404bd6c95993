-- Digits before and after the point of one column of canonical number texts; a piece of facts.sql. A text with an
-- exponent counts as too wide. Parameters: number. Columns: two integers.
coalesce(max(case when contains({{number}}, 'E') then 1000 else length(ltrim(split_part({{number}}, '.', 1), '-')) end), 1),
coalesce(max(length(split_part({{number}}, '.', 2))), 0)
