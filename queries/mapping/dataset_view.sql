-- A view of a staged dataset with its columns under their own names. Parameters: name, columns, rows (staged_rows.sql).
-- Columns: the dataset's. Grain: one staged row.
create or replace view {{name}} as select {{columns}} from ({{rows}}) as staged
