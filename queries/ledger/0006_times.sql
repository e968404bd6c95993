-- Adds when a batch was done, for the pace of a run; NULL of batches that are not, or that an earlier recon wrote.
alter table batches add column at text;
alter table undo_batches add column at text;
