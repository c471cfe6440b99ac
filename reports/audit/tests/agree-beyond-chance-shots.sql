-- fires: agree-beyond-chance
-- with: results of different directories
create or replace view metrics as select * from clean_metrics union all select release, run, step, tokens, task, shots, metric, value, stderr, replace(source, 'zero-shot', 'five-shot') as source, place from clean_metrics where run = 'model-1m';
create or replace view claims as select * from clean_claims union all select release, subject, name, '5' as value, 5.0 as number, replace(source, 'zero-shot', 'five-shot') as source, place from clean_claims where name = 'path.shots' and subject = 'model-1m';
