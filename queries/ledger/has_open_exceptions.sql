-- Whether any record of an entity did not go through in an earlier run and has not been tried since. Parameters: entity, run_id.
-- Columns: found. Grain: one row.
select exists (select 1 from exceptions where entity = ?1 and resolved_by is null and run_id <> ?2)
