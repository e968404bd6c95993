-- The types that a path inside an attribute has, from a sample of the rows that have it.
-- Parameters: value (the typed attribute as JSON), rows. Columns: tag. Grain: one type.
select distinct unnest(json_keys(attribute)) as tag
from (select json_extract({{value}}, {{pointer}}) as attribute from ({{rows}}) as staged where {{value}} is not null limit 20000)
where attribute is not null
order by tag
