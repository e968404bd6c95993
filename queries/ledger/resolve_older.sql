-- Says that what did not go through of earlier stagings is done with in a run's target. Parameters: entity, generation, run_id.
-- Grain: one exception.
update exceptions set resolved_by = ?3
where entity = ?1 and generation < ?2 and resolved_by is null and run_id <> ?3
  and run_id in (
    select m.run_id from migrations m
    where m.entity = ?1 and m.target = (select o.target from migrations o where o.run_id = ?3 and o.entity = ?1)
  )
