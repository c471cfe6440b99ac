-- question: What was the score of each leaked item before and after a run saw it, and how did clean items change?
-- parameter run in samples.run = null: the run (default: all)
-- parameter benchmark = null: the benchmark (default: all)
with leaks as (
  select distinct benchmark, item, shard, line from contamination where verdict = 'leak'
),
seen as (
  select e.run, l.benchmark, l.item, count(distinct e.step) as exposures, min(e.step) as first_seen
  from leaks as l
  join exposures as e on e.shard = l.shard and e.line = l.line
  where ($run is null or e.run = $run) and ($benchmark is null or l.benchmark = $benchmark)
  group by e.run, l.benchmark, l.item
),
-- An answer's score is 1 or 0, with several filters their mean; a text's is its log-likelihood.
scores as (
  select
    run, task as benchmark, item, step, avg(coalesce(cast(cast(correct as int) as double), log_likelihood)) as score
  from samples
  where step is not null
  group by run, task, item, step
),
clean as (
  select s.run, s.benchmark, s.step, avg(s.score) as score
  from scores as s
  left join (select distinct benchmark, item from leaks) as l on l.benchmark = s.benchmark and l.item = s.item
  where l.item is null
  group by s.run, s.benchmark, s.step
),
-- The checkpoint of a step has seen that step's batch.
around as (
  select
    x.run, x.benchmark, x.item, x.exposures, x.first_seen,
    max(case when s.step < x.first_seen then s.step end) as step_before,
    min(case when s.step >= x.first_seen then s.step end) as step_after,
    max(s.step) as step_last
  from seen as x
  join scores as s on s.run = x.run and s.benchmark = x.benchmark and s.item = x.item
  group by x.run, x.benchmark, x.item, x.exposures, x.first_seen
)
select
  a.run, a.benchmark, a.item, a.exposures, a.first_seen,
  a.step_before, b.score as before, a.step_after, n.score as after, a.step_last, z.score as last,
  n.score - b.score - (clean_n.score - clean_b.score) as change,
  z.score - b.score - (clean_z.score - clean_b.score) as last_change
from around as a
left join scores as b on b.run = a.run and b.benchmark = a.benchmark and b.item = a.item and b.step = a.step_before
left join scores as n on n.run = a.run and n.benchmark = a.benchmark and n.item = a.item and n.step = a.step_after
left join scores as z on z.run = a.run and z.benchmark = a.benchmark and z.item = a.item and z.step = a.step_last
left join clean as clean_b
  on clean_b.run = a.run and clean_b.benchmark = a.benchmark and clean_b.step = a.step_before
left join clean as clean_n
  on clean_n.run = a.run and clean_n.benchmark = a.benchmark and clean_n.step = a.step_after
left join clean as clean_z on clean_z.run = a.run and clean_z.benchmark = a.benchmark and clean_z.step = a.step_last
order by a.run, a.benchmark, a.item
