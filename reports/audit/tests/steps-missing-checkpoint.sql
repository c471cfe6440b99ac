-- fires: steps-missing
-- with: nothing between step 9000 and step 12000
create or replace view checkpoints as select * from clean_checkpoints where run <> 'Model-0101-1/stage1' or (step <> 10000 and step <> 11000);
