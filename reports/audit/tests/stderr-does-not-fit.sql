-- fires: stderr-does-not-fit
-- with: tell 100 items
create or replace view metrics as select release, run, step, tokens, task, shots, metric, value, case when run = 'model-1m' and step = 9000 and task = 'task7' then sqrt(value * (1 - value) / 99.0) else stderr end as stderr, source, place from clean_metrics;
