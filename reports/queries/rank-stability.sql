-- question: From which step on does a run order its tasks as it does at the end?
-- parameter metric = 'acc': the metric
select
  early.release, early.run, early.shots, early.step,
  count(*) as tasks,
  spearman(early.value, late.value) as spearman,
  kendall(early.value, late.value) as kendall
from metrics as early
join metrics as late
  on early.release = late.release and early.run = late.run and early.task = late.task
  and early.metric = late.metric and (early.shots is not distinct from late.shots)
join (
  select release, run, max(step) as step from metrics where metric = $metric group by release, run
) as end_of
  on late.release = end_of.release and late.run = end_of.run and late.step = end_of.step
where early.metric = $metric and early.step is not null
group by early.release, early.run, early.shots, early.step
having count(*) > 2
order by early.release, early.run, early.shots, early.step
