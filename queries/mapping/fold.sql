-- The records that an entity's staged rows fold into, in the order of their groups, so that a record's place depends on nothing
-- else. Parameters: columns, logical (the dataset's columns by their names), rows (its staged rows), filter, groups, order.
-- Columns: columns, __recon_rows (rows of the group). Grain: one group.
select {{columns}}, count(*) as __recon_rows
from (select __recon_pos {{logical}} from ({{rows}}) as staged) as __recon_rows
where {{filter}}
group by {{groups}}
order by {{order}}
