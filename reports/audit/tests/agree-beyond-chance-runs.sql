-- fires: agree-beyond-chance
-- with: model-1m and model-2m
create or replace view metrics as select * from clean_metrics where run <> 'model-2m' or step > 9000 union all select release, 'model-2m' as run, step, tokens, task, shots, metric, value, stderr, replace(source, 'model-1m', 'model-2m') as source, place from clean_metrics where run = 'model-1m' and step <= 9000 and task <> 'task3' and task <> 'task9';
