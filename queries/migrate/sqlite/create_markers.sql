-- Recon's own table: one row a batch that was written, until the ledger has it. Committed with the batch, it tells after a kill whether
-- the batch is there.
create table if not exists {{markers}} (
  run_id     text not null,
  entity     text not null,
  batch      integer not null,
  hash       text not null,
  receipt    text,
  applied_at text not null default current_timestamp,
  primary key (run_id, entity, batch)
)
