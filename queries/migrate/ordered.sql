-- An entity's records in the order of their keys. Parameters: records (a side's query), among (a condition on pos), keys (what to
-- order by, the position last). Columns: as records. Grain: one record.
select * from ({{records}}) as records where {{among}} order by {{keys}}
