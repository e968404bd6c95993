-- Forgets the generations of a dataset before the newest. Parameters: dataset, generation to keep. Grain: all such.
delete from generations where dataset = ?1 and generation < ?2
