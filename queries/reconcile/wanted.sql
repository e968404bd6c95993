-- The rows whose values are looked at: those that differ, one of each duplicate key, those that do not cast.
-- Parameters: verdicts, predicates (p<i>: what a field's own predicate says), more (selects of the others, or nothing).
-- Columns: verdict, source_pos, target_pos, source_count, target_count, equal, field, code, message, predicates.
-- Grain: one finding.
create or replace temp table wanted as
select
  verdict::bigint as verdict, source_pos, target_pos,
  null::bigint as source_count, null::bigint as target_count, null::boolean as equal,
  null::bigint as field, null::varchar as code, null::varchar as message {{predicates}}
from {{verdicts}} where verdict in (1, 2, 3)
{{more}}
