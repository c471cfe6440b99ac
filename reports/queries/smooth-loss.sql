-- question: How does the smoothed loss decrease?
-- parameter alpha = 0.05: the weight of each new loss in the average
-- parameter run in train_log.run = null: the run (default: all runs)
select step, run, ema(loss, $alpha) over (partition by release, run order by step) as smooth_loss
from train_log
where loss is not null and ($run is null or run = $run)
order by run, step
