-- question: Do runs answer items better that leaked into their training data, and from which step on?
-- parameter method = 'spans': the method that found the leaks
-- parameter task = null: the task (default: all tasks)
with leaks as (
  select distinct benchmark, item, shard, line
  from contamination
  where verdict = 'leak' and method = $method
),
leaked as (
  select distinct benchmark, item from leaks
),
seen as (
  select leaks.benchmark, leaks.item, exposures.run, min(exposures.step) as step
  from leaks
  join exposures on leaks.shard = exposures.shard and leaks.line = exposures.line
  group by leaks.benchmark, leaks.item, exposures.run
),
judged as (
  select
    samples.release, samples.run, samples.task, samples.filter, samples.shots, samples.step,
    case when samples.correct then 1.0 else 0.0 end as correct,
    case
      when leaked.item is null then 'clean'
      when seen.step is null or samples.step is null then 'in the corpus'
      when seen.step <= samples.step then 'seen before'
      else 'not seen yet'
    end as items
  from samples
  left join leaked on samples.task = leaked.benchmark and samples.item = leaked.item
  left join seen on samples.task = seen.benchmark and samples.item = seen.item and samples.run = seen.run
  where samples.correct is not null and ($task is null or samples.task = $task)
)
select release, run, task, filter, shots, step, items, count(*) as n, avg(correct) as accuracy
from judged
group by release, run, task, filter, shots, step, items
order by release, run, task, filter, shots, step, items
