-- Writes columns of rows that are there. Parameters: batch, table, same, exact (the keys are the same byte by byte), set. Grain: one row.
update {{batch}} as new straight_join {{table}} as old on {{same}} and {{exact}} set {{set}}
