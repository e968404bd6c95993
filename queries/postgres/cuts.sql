-- Every so manieth key of a table in the key's order, as literals. Pieces: literals, key, from, every.
-- Columns: one a column of the key. Grain: one cut.
select {{literals}}
from (select {{key}}, row_number() over (order by {{key}}) as recon_number from {{from}}) as numbered
where recon_number % {{every}} = 0
order by recon_number
