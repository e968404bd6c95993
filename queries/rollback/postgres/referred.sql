-- Rows that others refer to. Parameters: table, keys, texts, same, as in rows.sql; child, refers (the other row refers to it), other (the
-- other row is none of these itself). Columns: recon_n. Grain: one row that is referred to.
select new.recon_n from unnest($1::int[], {{texts}}) as new (recon_n, {{keys}}) join {{table}} as old on {{same}}
where exists (select 1 from {{child}} as child where {{refers}}{{other}})
