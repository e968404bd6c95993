-- Recon's own table: one row a batch that was written, until the ledger has it. Committed with the batch, it tells after a lost reply
-- whether the batch is there.
create schema if not exists recon;
create table if not exists recon.batches (
  run_id     text not null,
  entity     text not null,
  batch      bigint not null,
  hash       text not null,
  receipt    text,
  applied_at timestamptz not null default now(),
  primary key (run_id, entity, batch)
)
