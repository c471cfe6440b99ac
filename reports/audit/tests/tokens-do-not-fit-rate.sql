-- fires: tokens-do-not-fit
-- with: first at step 19000
create or replace view checkpoints as select release, run, label, step, case when run = 'Model-0101-1/stage1' and step > 18000 then tokens + (step - 18000) * 1000 else tokens end as tokens, parameters, path, state, source, place from clean_checkpoints;
