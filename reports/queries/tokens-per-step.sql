-- question: Did the number of tokens in a step stay the same throughout a run?
select release, run, tokens_per_step, count(*) as steps, min(step) as first_step, max(step) as last_step
from (
  select
    release, run, step,
    (cast(tokens as double) - lag(tokens) over each_run) / (cast(step as double) - lag(step) over each_run)
      as tokens_per_step
  from train_log
  where tokens is not null
  window each_run as (partition by release, run order by step)
)
where tokens_per_step is not null
group by release, run, tokens_per_step
order by release, run, first_step
