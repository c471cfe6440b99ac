-- question: How far apart are two runs at the same step or, where their steps differ, the same number of tokens?
-- parameter a in metrics.run: the first run
-- parameter b in metrics.run: the second run
-- parameter task in metrics.task = null: the task (default: all tasks)
select step, tokens, task, metric, shots, a, b, difference
from aligned($a, $b)
where $task is null or task = $task
order by task, metric, shots, step
