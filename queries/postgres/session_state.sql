-- Whether a session of ours has nothing more to do than that its client takes what it sent or sends.
-- Parameters: $1 the session's process number. Columns: waits. Grain: the session, or nothing where it has ended.
select coalesce(state like 'idle%', false) or wait_event is not distinct from 'ClientWrite' as waits
from pg_stat_activity
where pid = $1
