-- fires: same-content
-- with: every tensor of checkpoint-3000 is that of checkpoint-4000
create or replace view tensors as select run, checkpoint, step, tensor, dtype, shape, elements, non_finite, norm, mean, std, min, max, kurtosis, stable_rank, distance_to_previous, cosine_to_previous, distance_to_first, cosine_to_first, replace(digest, 'digest-4-', 'digest-3-') as digest from clean_tensors;
