-- The rows of a range of keys, and the exact sums of both halves of their digests. A row's text (record_out) quotes its values and
-- tells NULL from the empty string. Pieces: seed, unread (whether staging could not read the row), columns, from, condition.
-- Columns: rows, digests, high, low. Grain: one row.
select
  count(*)::text as rows,
  count(digest)::text as digests,
  coalesce(sum(('x' || left(digest, 16))::bit(64)::int8), 0)::text as high,
  coalesce(sum(('x' || right(digest, 16))::bit(64)::int8), 0)::text as low
from (select case when {{unread}} then null else md5('{{seed}}' || row({{columns}})::text) end as digest from {{from}} where {{condition}} offset 0) as rows
