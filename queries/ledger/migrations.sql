-- Migrations with what became of their batches, oldest first. Parameters: run_id or NULL for all runs.
-- Columns: run_id, entity, kind, generation, mapping, target, options, records, batches, left_over, state, spec_digest, applied,
-- written, inserted, updated, unchanged, failed. Grain: one entity of a run.
select m.run_id, m.entity, m.kind, m.generation, m.mapping, m.target, m.options, m.records, m.batches, m.left_over, m.state,
  r.spec_digest, m.applied, m.written, m.inserted, m.updated, m.unchanged, m.failed
from migrations m
join runs r on r.run_id = m.run_id
where ?1 is null or m.run_id = ?1
order by m.run_id, m.rowid
