-- fires: agree-beyond-chance
-- with: results of different directories
create or replace view metrics as select * from clean_metrics union all select release, run, step, tokens, task, shots, metric, value, stderr, replace(source, 'zero-shot', 'five-shot') as source, place from clean_metrics where run = 'model-1m';
