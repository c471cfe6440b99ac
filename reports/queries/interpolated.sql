-- question: What would each run have scored after the same number of tokens?
-- parameter tokens = 1000000000: the number of tokens
-- parameter task in metrics.task = null: the task (default: all tasks)
-- parameter metric in metrics.metric = 'acc': the metric
select release, run, task, shots, interpolate(tokens, value, $tokens) as value
from metrics
where metric = $metric and tokens is not null and ($task is null or task = $task)
group by release, run, task, shots
order by task, shots, value desc, release, run
