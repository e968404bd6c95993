-- Whether the user sees the foreign keys of every table: a privilege on all tables shows them. Parameters: none. Columns: sees_all. Grain:
-- one row.
select exists (
  select 1 from information_schema.user_privileges as p
  where p.grantee = concat(
      "'", left(current_user(), char_length(current_user()) - char_length(substring_index(current_user(), '@', -1)) - 1),
      "'@'", substring_index(current_user(), '@', -1), "'"
    )
    and p.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'REFERENCES', 'CREATE', 'DROP', 'ALTER', 'INDEX', 'TRIGGER')
) as sees_all
