-- Empties the temporary table, within a transaction. Parameters: batch. Grain: one row.
delete from {{batch}}
