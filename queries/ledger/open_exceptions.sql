-- How many records of an entity did not go through in a target and have not been tried since. Parameters: entity, target.
-- Columns: records. Grain: one entity.
select count(*) from exceptions
where entity = ?1 and resolved_by is null
  and run_id in (select m.run_id from migrations m where m.entity = ?1 and m.target = ?2)
