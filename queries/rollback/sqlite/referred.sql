-- Rows that refer to a row, as the foreign key takes it. Parameters: own (what is wanted of them), table, child, refers (the other row
-- refers to it), same; ?1 and following the key of the row that is referred to. Columns: as own. Grain: one row that refers to it.
select {{own}} from {{table}} as old join {{child}} as child on {{refers}} where {{same}}
