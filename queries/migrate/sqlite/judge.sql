-- Whether a record that is there would be changed, and may be. Parameters: table, same, values (the record, each value named as its
-- column), differs, allowed; ?1 and following the record. Columns: differs, allowed. Grain: one record.
select {{differs}} as differs, {{allowed}} as allowed from {{table}} as old, (select {{values}}) as new where {{same}}
