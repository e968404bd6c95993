-- Adds a batch that was taken back to the sums of its rollback. Parameters: run_id, entity, handled, restored, removed, inserted, noop,
-- merged, forced, altered, conflicts, failed, expired. Grain: one entity of a run.
update rollbacks set handled = handled + ?3, restored = restored + ?4, removed = removed + ?5, inserted = inserted + ?6, noop = noop + ?7,
  merged = merged + ?8, forced = forced + ?9, altered = altered + ?10, conflicts = conflicts + ?11, failed = failed + ?12,
  expired = expired + ?13
where run_id = ?1 and entity = ?2
