-- fires: constant-metric
-- with: task5.acc
create or replace view metrics as select release, run, step, tokens, task, shots, metric, case when task = 'task5' then 0.36 else value end as value, case when task = 'task5' then sqrt(0.36 * 0.64 / 4999.0) else stderr end as stderr, source, place from clean_metrics;
