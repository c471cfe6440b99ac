-- fires: label-contradicts
-- with: 24 paths are in the lists of both
create or replace view checkpoints as select * from clean_checkpoints union all select release, 'other' as run, label, step, tokens, parameters, path, state || 'b' as state, 'other.csv' as source, place from clean_checkpoints where run = 'Model-0101-1/stage1';
