-- Takes records out of a batch. Parameters: $1 their places in it. Grain: one record.
delete from recon_batch where recon_n = any ($1)
