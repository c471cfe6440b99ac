-- fires: same-content
-- with: results stand in model-2m
create or replace view metrics as select * from clean_metrics union all select release, 'copy' as run, step, tokens, task, shots, metric, value, stderr, 'copy.csv' as source, place from clean_metrics where run = 'model-2m' and step <= 12000;
