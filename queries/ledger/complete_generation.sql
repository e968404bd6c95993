-- Ends a generation. Parameters: generation, completed_at. Grain: one generation.
update generations set state = 'complete', completed_at = ?2 where generation = ?1
