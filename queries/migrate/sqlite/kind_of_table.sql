-- What a name stands for. Parameters: schema; ?1 the name. Columns: type (table or view). Grain: one table.
select type from {{schema}}.sqlite_schema where lower(name) = lower(?1) and type in ('table', 'view')
