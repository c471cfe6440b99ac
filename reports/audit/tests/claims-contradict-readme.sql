-- fires: claims-contradict
-- with: said to be trained on 0.20 Trillion
create or replace view claims as select release, subject, name, replace(value, '0.10 Trillion', '0.20 Trillion') as value, number, source, place from clean_claims;
