-- Recon's own table: one row a batch that was written, until the ledger has it. Committed with the batch, it tells after a lost reply
-- whether the batch is there.
create table if not exists {{markers}} (
  run_id     varchar(64) character set ascii collate ascii_bin not null,
  entity     varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
  batch      bigint not null,
  hash       varchar(128) character set ascii collate ascii_bin not null,
  receipt    longtext character set utf8mb4 collate utf8mb4_bin,
  applied_at timestamp not null default current_timestamp,
  primary key (run_id, entity, batch)
) engine = InnoDB row_format = dynamic
