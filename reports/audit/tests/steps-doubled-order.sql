-- fires: steps-doubled
-- with: goes back at 1 lines
create or replace view checkpoints as select release, run, label, step, tokens, parameters, path, state, source, case when run = 'hub' and step = 3000 then 'line 5' when run = 'hub' and step = 4000 then 'line 4' else place end as place from clean_checkpoints;
