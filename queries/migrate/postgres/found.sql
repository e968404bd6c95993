-- Marks the records that are there. Parameters: $1 their places in the batch. Grain: one record.
update recon_batch set recon_found = true where recon_n = any ($1)
