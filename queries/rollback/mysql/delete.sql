-- Removes rows. Parameters: batch, table, same, exact (the keys are the same byte by byte). Grain: one row.
delete old from {{batch}} as new straight_join {{table}} as old on {{same}} and {{exact}}
