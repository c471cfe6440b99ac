-- fires: label-contradicts
-- with: but are of maker/model-3m
create or replace view claims as select release, subject, name, case when name = 'config.model_args.pretrained' and subject = 'model-2m' then 'maker/model-3m' else value end as value, number, source, place from clean_claims;
