-- What was taken back, oldest first. Columns: run_id, entity, target, options, undo_of, is_whole, changes, state, spec_digest, handled,
-- restored, removed, inserted, noop, merged, forced, altered, conflicts, failed, expired. Grain: one entity of a run.
select b.run_id, b.entity, b.target, b.options, b.undo_of, b.is_whole, b.changes, b.state, r.spec_digest, b.handled, b.restored, b.removed,
  b.inserted, b.noop, b.merged, b.forced, b.altered, b.conflicts, b.failed, b.expired
from rollbacks b
join runs r on r.run_id = b.run_id
order by b.run_id, b.rowid
