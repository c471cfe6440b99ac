-- fires: steps-missing
-- with: at step 6000 there are 9 results
create or replace view metrics as select * from clean_metrics where run <> 'model-3m' or step <> 6000 or task in ('task1', 'task2', 'task3', 'task4', 'task5', 'task6', 'task7', 'task8', 'task9');
