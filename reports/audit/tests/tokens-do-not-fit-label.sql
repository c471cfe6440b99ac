-- fires: tokens-do-not-fit
-- with: no number of tokens a step fits
create or replace view checkpoints as select release, run, replace(label, 'step20000-tokens84B', 'step20000-tokens94B') as label, step, tokens, parameters, path, state, source, place from clean_checkpoints;
