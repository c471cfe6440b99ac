-- question: Which checkpoint of each run is the best, by the mean over its tasks?
-- parameter metric in metrics.metric = 'acc': the metric; higher is better
-- parameter shots = null: the number of examples in the prompt (default: each number separately)

-- A checkpoint with a result that is NaN has no mean, so it is not compared.
select release, run, shots, mean, tasks, step
from (
  select *, row_number() over (partition by release, run, shots order by tasks desc, mean desc, step) as place
  from (
    select release, run, shots, step, count(distinct task) as tasks, avg(value) as mean
    from metrics
    where metric = $metric and step is not null and ($shots is null or cast(shots as varchar) = $shots)
    group by release, run, shots, step
    having not isnan(avg(value))
  )
)
where place = 1
order by release, run, shots
