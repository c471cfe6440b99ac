-- question: How much do examples in the prompt help, checkpoint by checkpoint?
-- parameter few = 5: the greater number of examples
-- parameter none = 0: the smaller number
-- parameter task in metrics.task = null: the task (default: all tasks)
-- parameter metric in metrics.metric = 'acc': the metric
select
  b.release, b.run, b.task, b.step, b.tokens,
  a.value as with_few, b.value as with_none, a.value - b.value as difference
from metrics as a
join metrics as b
  on a.release = b.release and a.run = b.run and a.task = b.task and a.metric = b.metric
  and (a.step is not distinct from b.step)
where a.shots = $few and b.shots = $none and a.metric = $metric and ($task is null or a.task = $task)
order by b.release, b.run, b.task, b.step
