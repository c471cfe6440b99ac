-- fires: claims-contradict
-- with: its summary says final loss
create or replace view claims as select release, subject, name, value, case when name = 'final_loss' and subject = 'model-2m' then number + 0.01 else number end as number, source, place from clean_claims;
