-- fires: claims-contradict
-- with: of a run that has 2 such values
create or replace view metrics as select * from clean_metrics union all select release, run, step, tokens, 'train' as task, shots, 'learning_rate_peak' as metric, case when step > 9000 then 0.0009 else 0.0003 end as value, stderr, source, place from clean_metrics where run = 'model-1m' and task = 'text';
