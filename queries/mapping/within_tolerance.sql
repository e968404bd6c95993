-- Whether field i of a pair is surely within its tolerance; a piece of classify.sql. What is not sure is judged on the values.
-- Parameters: i, within (bounds on the stored values). Columns: one boolean.
(
  coalesce(s.w{{i}} is null and t.w{{i}} is null and ({{within}}), false)
  or (s.t{{i}} is not distinct from t.t{{i}} and s.w{{i}} is not distinct from t.w{{i}})
)
