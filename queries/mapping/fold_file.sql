-- Folded records, kept in a file. Parameters: records (fold.sql), file. Columns: as there. Grain: one record.
copy ({{records}}) to {{file}} (format parquet)
