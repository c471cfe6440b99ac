-- fires: label-contradicts
-- with: but are of maker/model-3m
create or replace view claims as select release, subject, name, replace(value, 'maker/model-2m', 'maker/model-3m') as value, number, source, place from clean_claims;
