-- Marks the records that are there. Parameters: $1 their places in the batch. Grain: one record.
update recon_batch set found = true where n = any ($1)
