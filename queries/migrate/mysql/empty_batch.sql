-- Empties the table of a session's batches. Parameters: batch. Grain: one record.
truncate table {{batch}}
