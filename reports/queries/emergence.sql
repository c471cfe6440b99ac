-- question: From which step on does each run stay above chance on a task, by at least a margin?
-- parameter task in metrics.task = null: the task (default: all tasks)
-- parameter metric in metrics.metric = 'acc': the metric
-- parameter chance = 0.25: the value of random guessing
-- parameter margin = 0.05: how far above chance a checkpoint must be
select
  release, run, task, shots,
  first_reaching(step, value, $chance + $margin) as from_step,
  min(step) as first_step,
  max(step) as last_step,
  max(value) as best
from metrics
where metric = $metric and ($task is null or task = $task) and step is not null
group by release, run, task, shots
order by release, run, task, shots
