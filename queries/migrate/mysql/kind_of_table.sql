-- What a name stands for. Parameters: the database, the table. Columns: table_type, engine, transactions (YES where the engine has
-- them). Grain: one table.
select t.table_type, t.engine, e.transactions
from information_schema.tables as t left join information_schema.engines as e on e.engine = t.engine
where t.table_schema = ? and t.table_name = ?
