-- question: Which pairs of tasks rise and fall together over the checkpoints of a run?
-- parameter metric in metrics.metric = 'acc': the metric
-- parameter at_least = 0.0: the smallest correlation to report, of either sign
select release, run, shots, task_a, task_b, spearman, kendall, checkpoints
from (
  select
    a.release, a.run, a.shots, a.task as task_a, b.task as task_b,
    spearman(a.value, b.value) as spearman,
    kendall(a.value, b.value) as kendall,
    count(*) as checkpoints
  from metrics as a
  join metrics as b
    on a.release = b.release and a.run = b.run and a.step = b.step and a.metric = b.metric
    and (a.shots is not distinct from b.shots) and a.task < b.task
  where a.metric = $metric
  group by a.release, a.run, a.shots, a.task, b.task
  having count(*) > 2
)
where abs(spearman) >= $at_least
order by spearman desc, release, run, shots, task_a, task_b
