-- fires: claims-contradict
-- with: linked, but it lies at
create or replace view claims as select release, subject, name, replace(value, 'blob/main/lists/', 'blob/main/') as value, number, source, place from clean_claims;
