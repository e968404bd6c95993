-- Keeps a setting unless it is there. Parameters: name, value. Grain: one setting.
insert or ignore into settings (name, value) values (?1, ?2)
