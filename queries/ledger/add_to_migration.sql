-- Adds a batch that was just written to the sums of its migration. Parameters: run_id, entity, batch. Grain: one entity of a run.
update migrations set applied = applied + 1, written = written + b.records, inserted = migrations.inserted + b.inserted,
  updated = migrations.updated + b.updated, unchanged = migrations.unchanged + b.unchanged, failed = migrations.failed + b.failed
from batches b
where b.run_id = ?1 and b.entity = ?2 and b.batch = ?3 and migrations.run_id = ?1 and migrations.entity = ?2
