-- Replaces what is said of a generation. Parameters: generation, warnings, proof. Grain: one generation.
update generations set warnings = ?2, proof = ?3 where generation = ?1
