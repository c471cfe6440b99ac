-- fires: label-contradicts
-- with: its name says step 8000, it says step 9000
create or replace view claims as select release, subject, name, case when source = 'model-1m/zero-shot/step8000.json' then replace(value, 'step8000', 'step9000') else value end as value, number, source, place from clean_claims;
