-- question: Do runs answer items better that were in their training data, and from which step on?
-- parameter overlap = 0.5: the smallest overlap that counts as seen
-- parameter task = null: the task (default: all tasks)
with seen as (
  select task, item, run, min(seen_at) as seen_at
  from contamination
  where overlap >= $overlap
  group by task, item, run
),
judged as (
  select
    samples.release, samples.run, samples.task, samples.step,
    case when samples.correct then 1.0 else 0.0 end as correct,
    case
      when seen.item is null then 'clean'
      when seen.seen_at is null or samples.step is null then 'in the corpus'
      when seen.seen_at <= samples.step then 'seen before'
      else 'not seen yet'
    end as items
  from samples
  left join seen
    on samples.task = seen.task and samples.item = seen.item and (seen.run is null or seen.run = samples.run)
  where samples.correct is not null and ($task is null or samples.task = $task)
)
select release, run, task, step, items, count(*) as n, avg(correct) as accuracy
from judged
group by release, run, task, step, items
order by release, run, task, step, items
