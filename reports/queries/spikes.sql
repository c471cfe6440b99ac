-- question: At which steps does the loss jump out of what it was around?
-- parameter window = 100: how many steps before are looked at
-- parameter deviations = 6.0: how many standard deviations make a spike
-- parameter run = null: the run; all of them where none is given
select release, run, step, tokens, loss, grad_norm, place
from (
  select *, spike(loss, $window, $deviations) over (partition by release, run order by step) as is_spike
  from train_log
  where loss is not null and ($run is null or run = $run)
)
where is_spike
order by release, run, step
