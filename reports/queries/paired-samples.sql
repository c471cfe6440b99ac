-- question: Is one run better than another on the same items, and how sure is that?
-- parameter a in samples.run: the first run
-- parameter b in samples.run: the second run
-- parameter task in samples.task = null: the task (default: each task separately)
with answers as (
  -- An item counts once for each filter and number of shots, however often it was answered.
  select
    run, task, shots, filter, step, item, avg(cast(cast(correct as int) as double)) as correct,
    max(max(step)) over (partition by run, task) as last_step,
    max(max(shots)) over (partition by run, task) as most_shots
  from samples
  where run in ($a, $b) and correct is not null and ($task is null or task = $task)
  group by run, task, shots, filter, step, item
)
select
  task, filter, shots, step, items, d['difference'] as difference, d['low'] as low, d['high'] as high, d['p'] as p
from (
  select
    x.task, x.filter, coalesce(x.shots, y.shots) as shots, coalesce(x.step, y.step) as step, count(*) as items,
    paired_bootstrap(x.correct, y.correct) as d
  from answers as x
  join answers as y
    on x.task = y.task and x.item = y.item and (x.filter is not distinct from y.filter)
    -- A run whose shots or steps are unknown is compared with each number of shots or step of the other.
    and ((x.shots is not distinct from y.shots) or x.most_shots is null or y.most_shots is null)
    and ((x.step is not distinct from y.step) or x.last_step is null or y.last_step is null)
  where x.run = $a and y.run = $b
  group by x.task, x.filter, coalesce(x.shots, y.shots), coalesce(x.step, y.step)
)
order by task, filter, shots, step
