-- fires: same-content
-- with: listed at step 7000 and at step 8000
create or replace view checkpoints as select release, run, label, step, tokens, parameters, replace(path, 'stage1/step8000/', 'stage1/step7000/') as path, state, source, place from clean_checkpoints;
