-- The states of all records after the newest run that decided them. Columns: run_id, entity, state, source_records,
-- target_records. Grain: one entity and state.
select t.run_id, t.entity, t.state, t.source_records, t.target_records
from totals t
where t.run_id = (select max(u.run_id) from totals u where u.entity = t.entity)
order by t.entity, t.state
