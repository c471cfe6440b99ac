-- question: Between which neighbouring checkpoints does a task fall the most, and by how many standard errors?
-- parameter metric in metrics.metric = 'acc': the metric; higher is better
-- parameter most = 20: how many to report
select
  release, run, task, shots, step_before, step, value_before, value, value - value_before as change,
  (value - value_before) / sqrt(stderr * stderr + stderr_before * stderr_before) as deviations
from (
  select
    *,
    lag(step) over (partition by release, run, task, shots order by step) as step_before,
    lag(value) over (partition by release, run, task, shots order by step) as value_before,
    lag(stderr) over (partition by release, run, task, shots order by step) as stderr_before
  from metrics
  where metric = $metric and step is not null
)
where value < value_before and not isnan(value) and not isnan(value_before)
order by change, release, run, task, shots, step
limit $most
