-- title: Tensors without elements
-- severity: error
-- means: A checkpoint lists tensors, but their weights are not in it: it was saved without gathering the parts of the model first (DeepSpeed ZeRO-3).
-- do: Gather the weights and save them again; the parts themselves may still have them (zero_to_fp32.py for DeepSpeed).

-- Transformer Engine writes an empty `_extra_state` if there is no such state.
select '' as release, run || ' ' || checkpoint as subject,
    cast(sum(case when elements = 0 then 1 else 0 end) as varchar) || ' of ' || cast(count(*) as varchar) || ' tensors have no elements, the first is '
        || min(case when elements = 0 then tensor || ' of shape ' || shape end) as finding,
    'tensors: ' || checkpoint || ' ' || min(case when elements = 0 then tensor end) as evidence, 'certain' as sure
from tensors where right(tensor, 12) <> '_extra_state'
group by run, checkpoint having sum(case when elements = 0 then 1 else 0 end) > 0
