-- Gives records the document that is there, where theirs is the same in other words. Parameters: batch, table, same, column, places.
-- Grain: one record.
update {{batch}} as new straight_join {{table}} as old on {{same}} set new.{{column}} = old.{{column}} where new.recon_n in ({{places}})
