-- fires: steps-doubled
-- with: 1 steps are listed more than once
create or replace view checkpoints as select * from clean_checkpoints union all select release, run, label, step, tokens, parameters, path, state || 'b' as state, source, 'line 99' as place from clean_checkpoints where run = 'Model-0101-1/stage2' and step = 12000;
