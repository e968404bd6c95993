-- A view of an entity's verdicts after its last diff. Parameters: name, file (classify.sql).
-- Columns: verdict in words, source_pos, target_pos. Grain: one pair, or one row without counterpart.
create or replace view {{name}} as
select
  ['matched', 'mismatched', 'missing', 'extra', 'unchecked', 'duplicate'][verdict + 1] as verdict, source_pos, target_pos
from read_parquet({{file}}, hive_partitioning = false)
