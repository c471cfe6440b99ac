-- question: How does a task come along with the tokens that were learned from?
-- parameter task = null: the task; all of them where none is given
-- parameter run = null: the run; all of them where none is given
-- parameter metric = 'acc': the metric
select tokens, step, release, run, task, shots, value, stderr
from metrics
where metric = $metric
  and ($task is null or task = $task)
  and ($run is null or run = $run)
  and tokens is not null
order by release, run, task, shots, tokens
