-- fires: claims-contradict
-- with: have one uuid
create or replace view claims as select release, subject, name, replace(value, 'bbbb', 'aaaa') as value, number, source, place from clean_claims;
