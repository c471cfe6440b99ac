-- fires: steps-doubled
-- with: steps of the log
create or replace view train_log as select * from clean_train_log union all select release, run, step, tokens, phase, learning_rate, loss, grad_norm, source, 'line 99' as place from clean_train_log where step = 5;
