-- question: How many training tokens did each run need until a task stayed above a threshold?
-- parameter task in metrics.task: the task
-- parameter threshold = 0.5: the value that it must keep
-- parameter metric in metrics.metric = 'acc': the metric
select release, run, shots, first_reaching(tokens, value, $threshold) as tokens, max(value) as best
from metrics
where metric = $metric and task = $task and tokens is not null
group by release, run, shots
order by tokens, release, run, shots
