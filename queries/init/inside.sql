-- The attributes inside a map and their types, from a document's typed JSON.
-- Parameters: value (the map), table, filter. Columns: name, tag, items. Grain: one name and type.
select name, json_keys(json_extract(map, '/' || replace(replace(name, '~', '~0'), '/', '~1')))[1] as tag, cast(count(*) as varchar) as items
from (
  select {{value}} as map, unnest(json_keys({{value}})) as name
  from {{table}} where {{filter}} and {{value}} is not null
)
group by all
order by name, tag
limit 2000
