-- question: On which tasks did a run end below its own best, and by how much?
-- parameter metric in metrics.metric = 'acc': the metric; higher is better
-- parameter at_least = 0.0: the smallest loss to report
select release, run, task, shots, peak, lost
from (
  select release, run, task, shots, max(value) as peak, forgetting(step, value) as lost
  from metrics
  where metric = $metric and step is not null
  group by release, run, task, shots
)
where lost >= $at_least
order by lost desc, release, run, task, shots
