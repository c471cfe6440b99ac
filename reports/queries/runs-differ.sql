-- question: On which tasks do two runs differ by more than their standard errors allow, at the same step?
-- parameter a in metrics.run: the first run
-- parameter b in metrics.run: the second run
-- parameter metric in metrics.metric = 'acc': the metric
select
  x.task, x.shots, x.step, x.value as a, x.stderr as stderr_a, y.value as b, y.stderr as stderr_b,
  x.value - y.value as difference,
  differs(x.value, x.stderr, y.value, y.stderr) as differs
from metrics as x
join metrics as y
  on x.task = y.task and x.metric = y.metric and (x.step is not distinct from y.step)
  and (x.shots is not distinct from y.shots)
where x.run = $a and y.run = $b and x.metric = $metric
order by differs desc, abs(x.value - y.value) desc, x.task, x.shots, x.step
