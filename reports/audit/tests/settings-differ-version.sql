-- fires: settings-differ
-- with: model-3m
create or replace view claims as select release, subject, name, case when name = 'versions.task1' and source = 'model-3m/zero-shot/step7000.json' then '2' else value end as value, number, source, place from clean_claims;
