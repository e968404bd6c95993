-- One side of an entity: position and the pieces from which its fields' values are read.
-- Parameters: columns, logical (the dataset's columns by their names), rows (its staged rows), filter.
-- Columns: pos, then columns. Grain: one row of the entity.
select __recon_pos as pos {{columns}}
from (select __recon_pos {{logical}} from ({{rows}}) as staged) as __recon_rows
where {{filter}}
