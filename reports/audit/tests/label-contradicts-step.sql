-- fires: label-contradicts
-- with: step 8000 is labelled step9000
create or replace view checkpoints as select release, run, case when run = 'Model-0101-1/stage1' and step = 8000 then 'step9000' else label end as label, step, tokens, parameters, path, state, source, place from clean_checkpoints;
