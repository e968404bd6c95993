-- Errors with the texts of their records, in the order of the keys. Parameters: told. Columns: subject, code, words, place, value,
-- key. Grain: one error.
select subject, code, words, place, value, key from read_parquet({{told}}) order by sort, pos, subject, code
