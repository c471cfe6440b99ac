-- fires: non-finite
-- with: model-1m
create or replace view metrics as select release, run, step, tokens, task, shots, metric, case when run = 'model-1m' and step = 3000 and task = 'text' then cast('NaN' as double) else value end as value, stderr, source, place from clean_metrics;
