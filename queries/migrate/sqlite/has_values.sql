-- Whether a column has any value. Parameters: table, column. Columns: found. Grain: one row.
select exists (select 1 from {{table}} where {{column}} is not null) as found
