-- fires: claims-contradict
-- with: hyperparameters.lr
create or replace view claims as select release, subject, name, replace(value, '"--lr", "0.003"', '"--lr", "0.0003"') as value, number, source, place from clean_claims;
