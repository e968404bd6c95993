-- The rows of a range of keys, and the exact sums of both halves of their digests. Pieces: seed, row (a text that has each value after its
-- length, and no other text for other values), from, condition. Columns: rows, digests, high, low. Grain: one row.
select
  cast(count(*) as char),
  cast(count(digest) as char),
  cast(coalesce(sum(cast(conv(left(digest, 16), 16, 10) as unsigned)), 0) as char),
  cast(coalesce(sum(cast(conv(right(digest, 16), 16, 10) as unsigned)), 0) as char)
from (select md5(concat('{{seed}}', {{row}})) as digest from {{from}} where {{condition}}) as recon_rows
