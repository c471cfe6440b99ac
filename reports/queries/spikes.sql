-- question: At which steps does the loss jump away from its recent values?
-- parameter window = 100: the number of earlier steps to compare with
-- parameter deviations = 6.0: the number of standard deviations that counts as a spike
-- parameter run in train_log.run = null: the run (default: all runs)
select release, run, step, tokens, loss, grad_norm, place
from (
  select *, spike(loss, $window, $deviations) over (partition by release, run order by step) as is_spike
  from train_log
  where loss is not null and ($run is null or run = $run)
)
where is_spike
order by release, run, step
