-- The rows of a dataset that did not parse, with the key's pieces where they could be read.
-- Parameters: keys (select list over the dataset's names), filter (whether a row is the entity's), logical (the dataset's
-- columns by their names), cells (its physical columns, out of the readable cells), file, current (in a chain of exports, keeps
-- the records out that a later window's supersedes, or nothing).
-- Columns: line, column, code, message, belongs, then the key's. Grain: one row that did not parse. In the order of the file.
select
  __recon_line as line,
  __recon_column as "column",
  __recon_code as code,
  __recon_message as message,
  coalesce(try({{filter}}), false) as belongs
  {{keys}}
from (
  select __recon_line, __recon_column, __recon_code, __recon_message {{logical}}
  from (
    select
      f.line as __recon_line,
      f."column" as __recon_column,
      f.code as __recon_code,
      f.message as __recon_message
      {{cells}}
    from read_parquet({{file}}, hive_partitioning = false) as f
    {{current}}
  ) as staged
) as __recon_rows
order by __recon_line nulls last, __recon_column, __recon_code, __recon_message
