-- fires: settings-differ
-- with: model-1m
create or replace view claims as select release, subject, name, case when name = 'config.model_args.git_hash' and source = 'model-1m/zero-shot/step7000.json' then 'def' else value end as value, number, source, place from clean_claims;
