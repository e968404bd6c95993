-- Says that a record whose key cannot be read was tried again. Parameters: entity, generation, pos, run_id.
-- Columns: attempts. Grain: one exception.
update exceptions set resolved_by = ?4
where entity = ?1 and generation = ?2 and pos = ?3 and key_hash is null and resolved_by is null and run_id <> ?4
returning attempts
