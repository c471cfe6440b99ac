-- fires: out-of-line
-- with: model-2m step 15000
create or replace view metrics as select release, run, step, tokens, task, shots, metric, case when run = 'model-2m' and step = 15000 and task like 'task1%' then value - 0.3 else value end as value, stderr, source, place from clean_metrics;
