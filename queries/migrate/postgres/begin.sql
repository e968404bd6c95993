-- How a batch's transaction runs: constraints speak at once, and rows are looked up by the key's index, since nobody knows how many
-- rows the temporary table has.
set constraints all immediate; set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
set local jit = off
