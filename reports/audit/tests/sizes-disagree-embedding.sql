-- fires: sizes-disagree
-- with: has 960 rows for 1000 tokens
create or replace view tensors as select run, checkpoint, step, tensor, dtype, replace(shape, '[1024, 64]', '[960, 64]') as shape, elements, non_finite, norm, mean, std, min, max, kurtosis, stable_rank, distance_to_previous, cosine_to_previous, distance_to_first, cosine_to_first, digest from clean_tensors;
