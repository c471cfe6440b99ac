-- question: Which checkpoints were never evaluated?
select checkpoints.release, checkpoints.run, checkpoints.label, checkpoints.step, checkpoints.tokens
from checkpoints
left anti join metrics
  on checkpoints.release = metrics.release and checkpoints.run = metrics.run and checkpoints.step = metrics.step
order by checkpoints.release, checkpoints.run, checkpoints.step, checkpoints.label
