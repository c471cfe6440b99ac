-- fires: tokens-do-not-fit
-- with: what Model-0101-1/stage1 ended with
create or replace view checkpoints as select release, run, label, step, case when run = 'Model-0101-1/stage2' then tokens - 2097152000 else tokens end as tokens, parameters, path, state, source, place from clean_checkpoints;
