-- How many digits the numbers of some columns have before and after the point, so that SQL can see them as decimals.
-- Parameters: sizes (pairs of number_size.sql), rows. Columns: two integers a column. Grain: one row.
select {{sizes}} from ({{rows}}) as staged
