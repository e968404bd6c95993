-- Digits before and after the point of one column of canonical number texts; a piece of facts.sql. A text with an
-- exponent, NaN and the infinities count as too wide. Parameters: number. Columns: two integers.
coalesce(max(case when regexp_matches({{number}}, '[EaI]') then 1000 else length(ltrim(split_part({{number}}, '.', 1), '-')) end), 1),
coalesce(max(length(split_part({{number}}, '.', 2))), 0)
