-- Whether field i of a pair is surely within its tolerance; a piece of classify.sql. What is not sure is judged on the values.
-- Parameters: i, scale, absolute (decimal text), relative (a double, already below the share). Columns: one boolean.
(
  (s.t{{i}} is not distinct from t.t{{i}} and s.w{{i}} is not distinct from t.w{{i}})
  or coalesce(
    s.w{{i}} is null and t.w{{i}} is null and (
      abs(s.t{{i}} - t.t{{i}}) <= cast({{absolute}} as decimal(38, {{scale}}))
      or cast(abs(s.t{{i}} - t.t{{i}}) as double) <= {{relative}} * cast(greatest(abs(s.t{{i}}), abs(t.t{{i}})) as double)
    ),
    false
  )
)
