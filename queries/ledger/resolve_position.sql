-- Says that a record whose key could not be read was tried again in the same target. Parameters: entity, generation, pos, run_id.
-- Columns: attempts. Grain: one exception.
update exceptions set resolved_by = ?4
where entity = ?1 and generation = ?2 and pos = ?3 and key_hash is null and resolved_by is null and run_id <> ?4
  and run_id in (
    select m.run_id from migrations m
    where m.entity = ?1 and m.target = (select o.target from migrations o where o.run_id = ?4 and o.entity = ?1)
  )
returning attempts
