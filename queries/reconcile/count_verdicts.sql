-- How many rows of each side have each verdict. Rows with a negative position only mark a counterpart.
-- Parameters: verdicts. Columns: verdict, pairs, source_rows, target_rows. Grain: one verdict.
select verdict::bigint, count(*), count(*) filter (source_pos >= 0), count(*) filter (target_pos >= 0)
from {{verdicts}} group by verdict order by verdict
