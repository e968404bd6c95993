-- How many records of an entity did not go through and have not been tried since. Parameters: entity. Columns: records.
-- Grain: one entity.
select count(*) from exceptions where entity = ?1 and resolved_by is null
