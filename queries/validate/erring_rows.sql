-- The errors of a pass, each with its record. Parameters: records (a side's query), errors, places (records' lines).
-- Columns: subject, code, words, line, then those of records. Grain: one error.
select e.subject, e.code, e.words, l.line, r.*
from ({{records}}) as r
join read_parquet({{errors}}) as e on r.pos = e.pos
left join ({{places}}) as l on l.pos = e.pos
