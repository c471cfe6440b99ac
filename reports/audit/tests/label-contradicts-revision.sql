-- fires: label-contradicts
-- with: its name says step 8000, it says step 9000
create or replace view claims as select release, subject, name, case when name = 'config.model_args.revision' and value = 'step8000' and subject = 'model-1m' then 'step9000' else value end as value, number, source, place from clean_claims;
