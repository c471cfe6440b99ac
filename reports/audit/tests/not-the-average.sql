-- fires: not-the-average
-- with: model-1m
create or replace view averages as select release, subject, tensor, of, 0.5 as distance, norm, unit, source, place from clean_averages;
