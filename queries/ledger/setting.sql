-- A setting of this ledger. Parameters: name. Columns: value. Grain: none or one.
select value from settings where name = ?1
