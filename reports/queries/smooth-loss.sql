-- question: How does the loss fall, without its noise?
-- parameter alpha = 0.05: how much of each new loss enters the average
-- parameter run = null: the run; all of them where none is given
select step, run, ema(loss, $alpha) over (partition by release, run order by step) as smooth_loss
from train_log
where loss is not null and ($run is null or run = $run)
order by run, step
