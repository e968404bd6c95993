-- One side's values of the wanted rows. Parameters: name, query (project.sql), position (its column in wanted).
-- Columns: as the query. Grain: one row.
create or replace temp table {{name}} as
select * from ({{query}}
) as rows where pos in (select {{position}} from wanted where {{position}} is not null)
