-- question: By how much does a task change when the number of tokens grows by a factor of e?
-- parameter metric in metrics.metric = 'acc': the metric
-- parameter from_tokens = 0: use only checkpoints with at least this many training tokens
select
  release, run, task, shots,
  log_slope(value, tokens) as slope,
  log_slope(value, tokens) * ln(2.0) as by_doubling,
  count(*) as checkpoints
from metrics
where metric = $metric and tokens > 0 and tokens >= $from_tokens
group by release, run, task, shots
having count(*) > 2
order by slope desc, release, run, task, shots
