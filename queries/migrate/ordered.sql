-- An entity's records in the order of their keys. Parameters: records (a side's query), fault (one more column, or nothing), invalid (joins
-- it, or nothing), among (a condition on pos), keys (what to order by, the position last). Columns: as records, fault. Grain: one record.
select records.* {{fault}} from ({{records}}) as records {{invalid}} where {{among}} order by {{keys}}
