-- question: Is one run better than another on the same items, and how sure is that?
-- parameter a: the first run
-- parameter b: the second run
-- parameter task = null: the task (default: each task separately)
select task, step, items, d['difference'] as difference, d['low'] as low, d['high'] as high, d['p'] as p
from (
  select
    x.task, x.step, count(*) as items,
    paired_bootstrap(cast(cast(x.correct as int) as double), cast(cast(y.correct as int) as double)) as d
  from samples as x
  join samples as y on x.task = y.task and x.item = y.item and (x.step is not distinct from y.step)
  where x.run = $a and y.run = $b and x.correct is not null and y.correct is not null
    and ($task is null or x.task = $task)
  group by x.task, x.step
)
order by task, step
