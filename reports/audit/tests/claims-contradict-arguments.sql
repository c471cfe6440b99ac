-- fires: claims-contradict
-- with: hyperparameters.lr
create or replace view claims as select release, subject, name, case when name = 'run_args.1' then '0.0003' else value end as value, number, source, place from clean_claims;
