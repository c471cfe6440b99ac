-- fires: out-of-line
-- with: model-1m step 15000
create or replace view tensors as select run, checkpoint, step, tensor, dtype, shape, elements, non_finite, case when step = 15000 then norm + 3 else norm end as norm, mean, std, min, max, kurtosis, stable_rank, distance_to_previous, cosine_to_previous, distance_to_first, cosine_to_first, digest from clean_tensors;
