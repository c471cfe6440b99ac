-- fires: non-finite
-- with: checkpoint-3000
create or replace view tensors as select run, checkpoint, step, tensor, dtype, shape, elements, case when step = 3000 and tensor = 'layer.4.weight' then cast(7 as bigint) else non_finite end as non_finite, norm, mean, std, min, max, kurtosis, stable_rank, distance_to_previous, cosine_to_previous, distance_to_first, cosine_to_first, digest from clean_tensors;
