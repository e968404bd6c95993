-- Says that a record that did not go through earlier was tried again in the same target. Parameters: entity, key_hash, run_id.
-- Columns: attempts. Grain: one exception.
update exceptions set resolved_by = ?3
where entity = ?1 and key_hash = ?2 and resolved_by is null and run_id <> ?3
  and run_id in (
    select m.run_id from migrations m
    where m.entity = ?1 and m.target = (select o.target from migrations o where o.run_id = ?3 and o.entity = ?1)
  )
returning attempts
