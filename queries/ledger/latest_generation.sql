-- The newest generation of a dataset. Parameters: dataset. Columns: generation, definition, state, completed_at, warnings, proof, started_at.
-- Grain: none or one generation.
select generation, definition, state, completed_at, warnings, proof, started_at
from generations where dataset = ?1 order by generation desc limit 1
