-- What the keys of a table of several kinds of items begin with, and how many items there are of each.
-- Parameters: first, second (SQL of the beginnings of partition key and sort key), table, most. Columns: first, second, items.
-- Grain: one pair of beginnings.
select {{first}} as first, {{second}} as second, cast(count(*) as varchar) as items
from {{table}}
group by all
order by count(*) desc, first, second
limit {{most}}
