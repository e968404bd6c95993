-- Says what is to become of records. Parameters: batch, state, places. Grain: one record.
update {{batch}} set recon_state = {{state}} where recon_n in ({{places}})
