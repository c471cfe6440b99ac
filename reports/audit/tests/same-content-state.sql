-- fires: same-content
-- with: step5000 and step6000 have the same state
create or replace view checkpoints as select release, run, label, step, tokens, parameters, path, case when state = 'state-1-6' then 'state-1-5' else state end as state, source, place from clean_checkpoints;
