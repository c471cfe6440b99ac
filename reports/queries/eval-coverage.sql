-- question: At which checkpoints are tasks missing that other checkpoints of the same run have?
with tasks as (
  select distinct release, run, task, shots from metrics where step is not null
),
steps as (
  select distinct release, run, step from metrics where step is not null
)
select tasks.release, tasks.run, tasks.task, tasks.shots, count(*) as missing_at,
  min(steps.step) as first_missing, max(steps.step) as last_missing
from tasks
join steps on tasks.release = steps.release and tasks.run = steps.run
where not exists (
  select 1 from metrics as there
  where there.release = tasks.release and there.run = tasks.run and there.task = tasks.task
    and (there.shots is not distinct from tasks.shots) and there.step = steps.step
)
group by tasks.release, tasks.run, tasks.task, tasks.shots
order by missing_at desc, tasks.release, tasks.run, tasks.task, tasks.shots
