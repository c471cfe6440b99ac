-- question: How does the score of a task grow with the number of training tokens?
-- parameter task in metrics.task = null: the task (default: all tasks)
-- parameter run in metrics.run = null: the run (default: all runs)
-- parameter metric in metrics.metric = 'acc': the metric
select tokens, step, release, run, task, shots, value, stderr
from metrics
where metric = $metric
  and ($task is null or task = $task)
  and ($run is null or run = $run)
  and tokens is not null
order by release, run, task, shots, tokens
