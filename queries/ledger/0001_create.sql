-- Creates the ledger.
-- Grain: runs, one row a command; generations, one a staging of a dataset; units, one a file of a generation; totals, one a
-- run, entity and record state; progress, one a run that is or was under way. Numbered and never edited: a change is a new file.
create table runs (
  run_id      text primary key,
  command     text not null,
  spec_digest text not null,
  state       text not null check (state in ('running', 'done', 'failed', 'interrupted')),
  epoch       text not null,
  started_at  text not null,
  ended_at    text check ((ended_at is null) = (state = 'running')),
  exit_code   integer check ((exit_code is null) = (state = 'running')),
  folder      text,
  message     text
) strict;

create table generations (
  generation   integer primary key,
  dataset      text not null,
  definition   text not null,
  state        text not null check (state in ('staging', 'complete')),
  run_id       text not null references runs (run_id),
  started_at   text not null,
  completed_at text check ((completed_at is not null) = (state = 'complete')),
  warnings     text not null default '[]' check (json_valid(warnings))
) strict;

create index generations_of_dataset on generations (dataset, generation);

create table units (
  generation integer not null references generations (generation) on delete cascade,
  ordinal    integer not null check (ordinal >= 0),
  path       text not null,
  stamp      text not null,
  digest     text not null,
  expected   text,
  bytes      integer not null check (bytes >= 0),
  rows       integer not null check (rows >= 0),
  failures   integer not null check (failures >= 0),
  parts      text not null check (json_valid(parts)),
  columns    text not null check (json_valid(columns)),
  failed     text check (json_valid(failed)),
  primary key (generation, path)
) strict;

create table totals (
  run_id  text not null references runs (run_id),
  entity  text not null,
  state   text not null check (state in ('VERIFIED', 'MISMATCHED', 'MISSING', 'EXTRA', 'DUPLICATE', 'UNCHECKED')),
  source_records integer not null check (source_records >= 0),
  target_records integer not null check (target_records >= 0),
  primary key (run_id, entity, state)
) strict;

create table progress (
  run_id      text primary key references runs (run_id),
  units_done  integer not null check (units_done >= 0),
  units_total integer not null check (units_total >= 0),
  bytes_done  integer not null check (bytes_done >= 0),
  bytes_total integer not null check (bytes_total >= 0),
  rows        integer not null check (rows >= 0),
  failures    integer not null check (failures >= 0),
  at          text not null
) strict;

create table settings (
  name  text primary key,
  value text not null
) strict;
