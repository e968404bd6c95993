-- The first rows of a dataset, to count in.
-- Parameters: table, columns (values, and the types of a document's), rows, limit. Grain: one row of the dataset.
create table {{table}} as
select {{columns}} from ({{rows}}) as staged limit {{limit}}
