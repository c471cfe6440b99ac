-- fires: empty-tensors
-- with: 2 of 12 tensors have no elements, the first is layer.4.weight of shape [0]
create or replace view tensors as select run, checkpoint, step, tensor, dtype, case when step = 3000 and tensor in ('layer.4.weight', 'layer.5.weight') then '[0]' else shape end as shape, case when step = 3000 and tensor in ('layer.4.weight', 'layer.5.weight') then cast(0 as bigint) else elements end as elements, non_finite, norm, mean, std, min, max, kurtosis, stable_rank, distance_to_previous, cosine_to_previous, distance_to_first, cosine_to_first, digest from clean_tensors;
