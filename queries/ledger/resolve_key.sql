-- Says that a record that did not go through earlier was tried again. Parameters: entity, key_hash, run_id.
-- Columns: attempts. Grain: one exception.
update exceptions set resolved_by = ?3 where entity = ?1 and key_hash = ?2 and resolved_by is null and run_id <> ?3
returning attempts
