-- Migrations with what became of their batches, oldest first. Parameters: run_id or NULL for all runs.
-- Columns: run_id, entity, kind, generation, mapping, target, options, records, batches, left_over, state, spec_digest, begun,
-- applied, written, inserted, updated, unchanged, failed. Grain: one entity of a run.
select m.run_id, m.entity, m.kind, m.generation, m.mapping, m.target, m.options, m.records, m.batches, m.left_over, m.state,
  r.spec_digest, count(b.batch), count(b.batch) filter (where b.state = 'APPLIED'),
  coalesce(sum(b.records) filter (where b.state = 'APPLIED'), 0), coalesce(sum(b.inserted), 0), coalesce(sum(b.updated), 0),
  coalesce(sum(b.unchanged), 0), coalesce(sum(b.failed), 0)
from migrations m
join runs r on r.run_id = m.run_id
left join batches b on b.run_id = m.run_id and b.entity = m.entity
where ?1 is null or m.run_id = ?1
group by m.run_id, m.entity
order by m.run_id, m.rowid
