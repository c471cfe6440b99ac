-- fires: agree-beyond-chance
-- with: the same at step 4000 and at step 5000
create or replace view metrics as select * from clean_metrics where run <> 'model-1m' or step <> 5000 union all select release, run, cast(5000 as bigint) as step, tokens, task, shots, metric, value, stderr, replace(source, 'step4000', 'step5000') as source, place from clean_metrics where run = 'model-1m' and step = 4000;
