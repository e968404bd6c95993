-- Adds to units where the reading of theirs goes on in another unit; NULL where it came to its end.
alter table units add column next text;
