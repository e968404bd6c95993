-- Adds what a rollback does: what it set out to take back, its batches, and the rows that it left as they are.
-- Grain: rollbacks, one an entity of a run that rolls back; undo_batches, one a batch that was begun; undo_exceptions, one a change that
-- was not taken back.

-- The numbers in the manifest of the changes that a batch made, from–to.
alter table batches add column made text not null default '[]' check (json_valid(made));

create table rollbacks (
  run_id    text not null references runs (run_id),
  entity    text not null,
  target    text not null,
  options   text not null check (json_valid(options)),
  -- The runs whose changes are taken back, and whether all that they changed is.
  undo_of   text not null check (json_valid(undo_of)),
  is_whole  integer not null check (is_whole in (0, 1)),
  changes   integer not null check (changes >= 0),
  state     text not null check (state in ('planning', 'running', 'done', 'abandoned')),
  handled   integer not null default 0 check (handled >= 0),
  restored  integer not null default 0 check (restored >= 0),
  removed   integer not null default 0 check (removed >= 0),
  inserted  integer not null default 0 check (inserted >= 0),
  noop      integer not null default 0 check (noop >= 0),
  merged    integer not null default 0 check (merged >= 0),
  forced    integer not null default 0 check (forced >= 0),
  altered   integer not null default 0 check (altered >= 0),
  expired   integer not null default 0 check (expired >= 0),
  conflicts integer not null default 0 check (conflicts >= 0),
  failed    integer not null default 0 check (failed >= 0),
  primary key (run_id, entity)
) strict;

create table undo_batches (
  run_id  text not null,
  entity  text not null,
  batch   integer not null check (batch >= 0),
  changes integer not null check (changes >= 0),
  hash    text not null,
  state   text not null check (state in ('ROLLBACK_INTENT', 'ROLLED_BACK')),
  made    text not null default '[]' check (json_valid(made)),
  primary key (run_id, entity, batch),
  foreign key (run_id, entity) references rollbacks (run_id, entity)
) strict, without rowid;

create table undo_exceptions (
  exception integer primary key,
  run_id    text not null,
  entity    text not null,
  batch     integer not null,
  of_run    text not null,
  seq       integer not null,
  key       text not null check (json_valid(key)),
  state     text not null check (state in ('ROLLBACK_CONFLICT', 'FAILED_RETRYABLE', 'FAILED_PERMANENT', 'ALTERED')),
  code      text not null,
  "column"  text,
  message   text not null,
  -- The row as it was before the change, as the change wrote it, and as it is there.
  images    text not null check (json_valid(images)),
  foreign key (run_id, entity) references rollbacks (run_id, entity)
) strict;

create index undo_exceptions_of_run on undo_exceptions (run_id, entity);
