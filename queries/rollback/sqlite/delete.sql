-- Removes a row. Parameters: table, same; ?1 and following its key. Grain: one row.
delete from {{table}} as old where {{same}}
