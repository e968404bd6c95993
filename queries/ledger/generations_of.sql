-- The stagings that a run began and that are still there, with what is staged of them. Parameters: run_id.
-- Columns: generation, dataset, state, units, rows, failures. Grain: one generation.
select g.generation, g.dataset, g.state, count(u.path), coalesce(sum(u.rows), 0), coalesce(sum(u.failures), 0)
from generations g
left join units u on u.generation = g.generation
where g.run_id = ?1
group by g.generation
order by g.generation
