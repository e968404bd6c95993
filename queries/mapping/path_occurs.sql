-- Whether some row has something at a path inside an attribute, be it NULL.
-- Parameters: value (the typed attribute as JSON), pointer, rows. Columns: 1. Grain: one row, or none.
select 1::bigint from ({{rows}}) as staged where json_extract({{value}}, {{pointer}}) is not null limit 1
