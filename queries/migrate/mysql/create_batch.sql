-- The table that a session's batches are loaded into. Parameters: batch, columns. Columns: recon_n (the record's place in the batch),
-- recon_state (0 not there, 1 there, 2 there and to be changed, 3 left alone), then as in the table, and for each column that is not
-- simply overwritten the value that it is to have. Grain: one record.
create temporary table {{batch}} (
  recon_n     int not null primary key,
  recon_state tinyint not null default 0,
  {{columns}}
) engine = InnoDB default character set utf8mb4
