-- How many different values of one side the other has, too.
-- Parameters: ours, theirs (queries of a column `text`, each value once). Columns: found, all_of. Grain: one row.
select count(*) filter (text in (select text from ({{theirs}}) as t where text is not null)) as found, count(*) as all_of
from ({{ours}}) as o
where text is not null
