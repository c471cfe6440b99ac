-- fires: sizes-disagree
-- with: is no multiple of 128
create or replace view claims as select release, subject, name, value, case when name = 'padded_vocab_size' then 1030.0 else number end as number, source, place from clean_claims;
