-- The wanted rows with the values of both sides. Parameters: predicates (p<i>: what a field's own predicate says).
-- Columns: wanted's, the predicates, source_values', target_values'. Grain: one finding.
select
  w.verdict, w.source_pos, w.target_pos, w.source_count, w.target_count, w.equal, w.field, w.code, w.message
  {{predicates}}, s.*, t.*
from wanted as w
left join source_values as s on s.pos = w.source_pos
left join target_values as t on t.pos = w.target_pos
