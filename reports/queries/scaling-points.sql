-- question: How large was each run, on how many tokens was it trained, and what loss did it reach?
-- parameter last = 100: the number of last steps over which the loss is averaged
with steps as (
  select *, row_number() over (partition by release, run order by step desc) as from_end
  from train_log
  where loss is not null
),
sizes as (
  select release, run, max(parameters) as params from checkpoints group by release, run
)
select steps.release, steps.run, sizes.params, max(steps.tokens) as tokens, avg(steps.loss) as loss
from steps
join sizes on steps.release = sizes.release and steps.run = sizes.run
where steps.from_end <= $last and sizes.params is not null
group by steps.release, steps.run, sizes.params
order by sizes.params, tokens, steps.release, steps.run
