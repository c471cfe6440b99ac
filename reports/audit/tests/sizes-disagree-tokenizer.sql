-- fires: sizes-disagree
-- with: its tokenizer has 1100 tokens
create or replace view claims as select release, subject, name, value, case when name = 'tokenizer.vocab_size' then 1100.0 else number end as number, source, place from clean_claims;
