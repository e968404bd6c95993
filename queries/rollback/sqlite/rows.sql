-- The row of a key, each value as it is stored. Parameters: images (the columns), table, same (the keys are equal to the index); ?1 and
-- following the key. Columns: as images. Grain: one row.
select {{images}} from {{table}} as old where {{same}}
