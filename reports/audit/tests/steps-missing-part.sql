-- fires: steps-missing
-- with: no part between 0 and 2
create or replace view claims as select * from clean_claims where value <> 'https://example.org/web/part-01-00000.csv.gz';
