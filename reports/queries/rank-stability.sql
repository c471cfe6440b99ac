-- question: From which step on does a run rank its tasks as at its end?
-- parameter metric in metrics.metric = 'acc': the metric
with ends as (
  select release, run, max(step) as step from metrics where metric = $metric group by release, run
),
late as (
  select metrics.release, metrics.run, metrics.task, metrics.shots, metrics.value
  from metrics
  join ends on metrics.release = ends.release and metrics.run = ends.run and metrics.step = ends.step
  where metrics.metric = $metric
)
select
  early.release, early.run, early.shots, early.step,
  count(*) as tasks,
  spearman(early.value, late.value) as spearman,
  kendall(early.value, late.value) as kendall
from metrics as early
join late
  on early.release = late.release and early.run = late.run and early.task = late.task
  and (early.shots is not distinct from late.shots)
where early.metric = $metric and early.step is not null
group by early.release, early.run, early.shots, early.step
having count(*) > 2
order by early.release, early.run, early.shots, early.step
