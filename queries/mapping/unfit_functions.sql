-- Of some functions, those that no field or filter may use. Parameters: names (of functions, in lower case).
-- Columns: name, why (`aggregate`: it looks at many rows; `volatile`: its value is not the same each time). Grain: one function.
select
  lower(function_name) as name,
  case when bool_or(function_type = 'aggregate') then 'aggregate' else 'volatile' end as why
from duckdb_functions()
where lower(function_name) in ({{names}})
group by all
having bool_or(function_type = 'aggregate') or bool_or(stability in ('VOLATILE', 'CONSISTENT_WITHIN_QUERY'))
order by name
