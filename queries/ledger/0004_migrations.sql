-- Adds what a migration does: what it set out to write, its batches, and the records that did not go through.
-- Grain: migrations, one an entity of a run that writes; batches, one a batch that was begun (others are staged); exceptions, one a
-- record that did not go through in a run.
create table migrations (
  run_id      text not null references runs (run_id),
  entity      text not null,
  kind        text not null check (kind in ('migrate', 'replay')),
  generation  integer not null,
  mapping     text not null,
  target      text not null,
  options     text not null check (json_valid(options)),
  records     integer not null check (records >= 0),
  batches     integer not null check (batches >= 0),
  left_over   integer not null check (left_over >= 0),
  state       text not null check (state in ('planning', 'running', 'done', 'abandoned')),
  -- What its batches that were written add up to, so that nobody has to add them up who only asks.
  applied     integer not null default 0 check (applied >= 0),
  written     integer not null default 0 check (written >= 0),
  inserted    integer not null default 0 check (inserted >= 0),
  updated     integer not null default 0 check (updated >= 0),
  unchanged   integer not null default 0 check (unchanged >= 0),
  failed      integer not null default 0 check (failed >= 0),
  primary key (run_id, entity)
) strict;

create index migrations_by_state on migrations (state, entity);

create table batches (
  run_id     text not null,
  entity     text not null,
  batch      integer not null check (batch >= 0),
  records    integer not null check (records >= 0),
  hash       text not null,
  state      text not null check (state in ('INTENT', 'APPLIED')),
  inserted   integer not null default 0,
  updated    integer not null default 0,
  unchanged  integer not null default 0,
  failed     integer not null default 0,
  primary key (run_id, entity, batch),
  foreign key (run_id, entity) references migrations (run_id, entity)
) strict, without rowid;

create table exceptions (
  exception  integer primary key,
  run_id     text not null,
  entity     text not null,
  batch      integer,
  pos        integer not null,
  generation integer not null,
  key        text not null check (json_valid(key)),
  key_hash   text,
  stage      text not null,
  class      text not null check (class in ('retryable', 'permanent', 'conflict', 'fatal')),
  code       text not null,
  "column"   text,
  message    text not null,
  attempts   integer not null check (attempts >= 0),
  resolved_by text,
  foreign key (run_id, entity) references migrations (run_id, entity)
) strict;

create index exceptions_of_run on exceptions (run_id, entity);
create index open_exceptions on exceptions (entity, key_hash) where resolved_by is null;

-- How far a run that writes is: records that it has planned, tries over, records that an earlier process of the run wrote, and since
-- when this process is at it.
alter table progress add column planned integer not null default 0;
alter table progress add column retries integer not null default 0;
alter table progress add column rows_before integer not null default 0;
alter table progress add column began_at text;
