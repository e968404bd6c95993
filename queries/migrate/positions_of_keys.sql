-- Where the records with these keys are. Parameters: files (of positions and key hashes), wanted (a file of key hashes).
-- Columns: pos, high, low (the key's hash). Grain: one record.
select k.pos, k.high, k.low from read_parquet([{{files}}]) as k semi join read_parquet({{wanted}}) as w on k.high = w.high and k.low = w.low
