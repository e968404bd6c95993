-- Adds to generations what was proven equal in the stores and therefore not staged, as JSON; NULL where all rows were staged.
alter table generations add column proof text check (json_valid(proof));
