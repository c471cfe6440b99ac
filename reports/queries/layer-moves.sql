-- question: Which tensors moved most between neighbouring checkpoints, relative to their size?
-- parameter run in tensors.run = null: the run (default: all runs)
-- parameter most = 20: how many to report per checkpoint
select run, step, tensor, moved, cosine, norm
from (
  select
    run, step, tensor, distance_to_previous / norm as moved, cosine_to_previous as cosine, norm,
    row_number() over (
      partition by run, checkpoint order by distance_to_previous / norm desc, tensor
    ) as place
  from tensors
  where distance_to_previous is not null and norm > 0 and ($run is null or run = $run)
)
where place <= $most
order by run, step, moved desc, tensor
