-- fires: steps-doubled
-- with: was evaluated twice
create or replace view metrics as select * from clean_metrics union all select release, run, step, tokens, task, shots, metric, value + 0.0002 as value, stderr, 'again.json' as source, place from clean_metrics where run = 'model-1m' and step = 7000;
