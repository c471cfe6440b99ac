-- fires: same-content
-- with: step1000.json
create or replace view sources as select release, source, case when source = 'model-1m/zero-shot/step2000.json' then 'digest of model-1m/zero-shot/step1000.json' else digest end as digest, size, kind, rows, problem from clean_sources;
