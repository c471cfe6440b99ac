-- question: How much do repetitions of a run differ by chance?
-- parameter runs = '%': a LIKE pattern for the names of the repeated runs
-- parameter metric in metrics.metric = 'acc': the metric
select
  release, task, shots, step,
  stddev(value) as deviation, avg(stderr) as mean_stderr, max(value) - min(value) as range,
  avg(value) as mean, count(*) as repeats
from metrics
where metric = $metric and run like $runs
group by release, task, shots, step
having count(distinct run) > 1
order by release, task, shots, step
