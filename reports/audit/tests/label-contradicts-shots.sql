-- fires: label-contradicts
-- with: 24 files lie under 0-shot
create or replace view claims as select release, subject, name, case when name = 'config.num_fewshot' and subject = 'model-1m' then '5' else value end as value, case when name = 'config.num_fewshot' and subject = 'model-1m' then 5.0 else number end as number, source, place from clean_claims;
