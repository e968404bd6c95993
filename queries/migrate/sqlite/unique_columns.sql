-- The columns of a table's unique indexes that hold for every row. Parameters: ?1 the table, ?2 its schema. Columns: index_name, column_name
-- (NULL for an expression), collation. Grain: one column of one index.
select l.name as index_name, x.name as column_name, x.coll as collation
from pragma_index_list(?1, ?2) as l, pragma_index_xinfo(l.name, ?2) as x
where l."unique" and not l.partial and x.key
order by l.seq, x.seqno
