-- The names inside an attribute or a map below it, from a sample of the rows that have it.
-- Parameters: value (the typed map as JSON), rows. Columns: name. Grain: one name.
select distinct unnest(json_keys(map)) as name
from (select {{value}} as map from ({{rows}}) as staged where {{value}} is not null limit 20000)
order by name
