-- fires: unreadable
-- with: ends in the middle
create or replace view sources as select release, source, digest, size, kind, rows, case when source = 'hub.csv' then 'line 9: ends in the middle' else problem end as problem from clean_sources;
