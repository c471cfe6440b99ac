-- title: Results agree more often than chance allows
-- severity: error
-- means: Results of different models, steps or settings are equal to the last digit for far more tasks than by chance, though not for all: the same weights may have been evaluated twice.
-- do: Compare the digests of the two checkpoints; if the weights are equal, one has the wrong name.

-- How: for each task, how often two runs of the release have the very same number at one step is the chance that these two have,
-- what these two themselves add to it left out. With p the mean of these chances and k of n results equal, a Chernoff bound gives
-- the chance of so many: e^(-n D(k/n || p)). Tasks are not independent: so it is computed as if there were only a tenth as many,
-- and reported below one in a million. Where ten pairs or more can be compared at a step, none may be so far out: six median
-- absolute deviations. At least three of the equal numbers must be of metrics that can give many: two models that both fail at
-- the same questions agree, and mean nothing by it.
-- The first hundredth of training is left out: runs that begin from the same weights are still nearly the same there.
with
evaluations as (
    select release, run, coalesce(cast(step as bigint), -1) as step, coalesce(cast(shots as bigint), -1) as shots, source, count(*) as n
    from metrics where task not in ('train', 'clock')
    group by release, run, coalesce(cast(step as bigint), -1), coalesce(cast(shots as bigint), -1), source
    having count(*) >= 20
),
ends as (select release, run, max(step) as last from evaluations group by release, run),
-- Each evaluation, run, place to compare at, and metric by a number: the joins below are large. Not by row_number(): DataFusion 55
-- takes it for a key still after a join, and drops the other columns of a GROUP BY.
numbered as (
    select e.*, dense_rank() over (order by e.release, e.run, e.step, e.shots, e.source) as evaluation,
        dense_rank() over (order by e.release, e.run) as run_number,
        dense_rank() over (order by e.release, e.step, e.shots) as place
    from evaluations e join ends on ends.release = e.release and ends.run = e.run
    where e.step < 0 or e.step >= 0.01 * ends.last
),
kinds as (
    select release, task, metric, dense_rank() over (order by release, task, metric) as kind,
        case when count(distinct value) >= 0.5 * count(*) or count(distinct value) >= 100 then 1.0 else 0.0 end as fine
    from metrics where task not in ('train', 'clock') group by release, task, metric
),
results as (
    select e.evaluation, e.run_number, e.place, k.kind, m.value
    from metrics m
    join numbered e on e.release = m.release and e.run = m.run and e.source = m.source
        and e.step = coalesce(cast(m.step as bigint), -1) and e.shots = coalesce(cast(m.shots as bigint), -1)
    join kinds k on k.release = m.release and k.task = m.task and k.metric = m.metric
),
-- Of each metric, the pairs of runs with one value, and all pairs of runs.
values_of as (
    select kind, place, value, cast(count(distinct run_number) as double) as runs from results group by kind, place, value
),
places as (
    select kind, place, sum(runs * (runs - 1) / 2) as same, sum(runs) * (sum(runs) - 1) / 2 as pairs from values_of group by kind, place
),
chances as (
    select p.kind, (sum(p.same) + 0.5) / (sum(p.pairs) + 1) as chance, 1 / (sum(p.pairs) + 1) as weight, max(k.fine) as fine
    from places p join kinds k on k.kind = p.kind
    group by p.kind
),
-- Two runs at one step.
across as (
    select a.evaluation as first, b.evaluation as last, a.run_number as run_a, b.run_number as run_b, max(a.place) as place,
        sum(case when a.value = b.value then 1.0 else 0.0 end) as k, cast(count(*) as double) as n,
        sum(case when a.value = b.value then c.fine else 0.0 end) as fine, sum(c.chance) as chances, sum(c.weight) as weights
    from results a
    join results b on a.kind = b.kind and a.place = b.place
    join chances c on c.kind = a.kind
    where a.run_number < b.run_number
    group by a.evaluation, b.evaluation, a.run_number, b.run_number
),
-- One run, one step, one number of examples as stated, in directories that say different numbers.
directories as (
    select evaluation, case when source like '%five-shot/%' then 5 when source like '%zero-shot/%' then 0 end as shots from numbered
),
within as (
    select a.evaluation as first, b.evaluation as last, a.run_number as run_a, b.run_number as run_b, max(a.place) as place,
        sum(case when a.value = b.value then 1.0 else 0.0 end) as k, cast(count(*) as double) as n,
        sum(case when a.value = b.value then c.fine else 0.0 end) as fine, sum(c.chance) as chances, sum(c.weight) as weights
    from results a
    join results b on a.kind = b.kind and a.place = b.place and a.run_number = b.run_number
    join chances c on c.kind = a.kind
    join directories da on da.evaluation = a.evaluation
    join directories db on db.evaluation = b.evaluation
    where da.shots < db.shots
    group by a.evaluation, b.evaluation, a.run_number, b.run_number
),
-- What the two have in common at all their steps; and how much any two runs agree at this step, in the median.
compared as (
    select *, cast(count(*) over (partition by run_a, run_b) as double) as evaluations, sum(k) over (partition by run_a, run_b) as all_k,
        sum(n) over (partition by run_a, run_b) as all_n, median(k / n) over (partition by place) as middle,
        count(*) over (partition by place) as at_once
    from across
),
pairs as (
    select first, last, run_a, run_b, k, n, fine, evaluations, all_k, all_n, middle, at_once,
        median(abs(k / n - middle)) over (partition by place) as spread,
        (chances - evaluations * all_k / all_n * weights) / n / (1 - evaluations * weights / n) as p
    from compared
    union all
    select first, last, run_a, run_b, k, n, fine, 1.0, 0.0, 1.0, 0.0, 0, 0.0, chances / n from within
),
-- A chance of nothing is not believed.
likely as (select *, case when p < 0.001 then 0.001 when p > 0.999 then 0.999 else p end as chance from pairs),
bounds as (
    select *, n * (k / n * ln(k / n / chance)
        + case when k < n then (1 - k / n) * ln((1 - k / n) / (1 - chance)) else 0.0 end) as exponent
    from likely where k > n * chance and k > 0
),
found as (
    -- Where every result of two runs is the same, same-content says so.
    select * from bounds
    where exponent / 10 > ln(1e6) and fine >= 3 and all_k < all_n and (at_once < 10 or k / n > middle + 6 * 1.4826 * spread)
),
-- Two steps of one run with all results the same.
next_to as (
    select release, run, source, step, n, lead(source) over (partition by release, run, shots order by step, source) as source_b,
        lead(step) over (partition by release, run, shots order by step, source) as step_b,
        lead(n) over (partition by release, run, shots order by step, source) as n_b
    from evaluations where step >= 0
),
steps as (
    select s.release, s.run, s.step, s.step_b, s.source, s.source_b, s.n, count(*) as k, count(distinct a.value) as different
    from next_to s
    join metrics a on a.release = s.release and a.source = s.source and a.run = s.run and cast(a.step as bigint) = s.step
    join metrics b on b.release = s.release and b.source = s.source_b and b.run = s.run and cast(b.step as bigint) = s.step_b
        and b.task = a.task and b.metric = a.metric and b.value = a.value
    where s.n = s.n_b and s.step < s.step_b and a.task not in ('train', 'clock')
    group by s.release, s.run, s.step, s.step_b, s.source, s.source_b, s.n
)
select a.release, case when f.run_a = f.run_b then a.run else a.run || ' and ' || b.run end as subject,
    case when f.run_a = f.run_b then 'results of different directories agree at ' else 'results agree at ' end
        || cast(count(*) as varchar) || case when f.run_a = f.run_b then '' else ' of ' || cast(cast(max(f.evaluations) as bigint) as varchar) end
        || ' evaluations, steps ' || cast(min(a.step) as varchar) || ' to ' || cast(max(a.step) as varchar) || ': '
        || cast(cast(sum(f.k) as bigint) as varchar) || ' of ' || cast(cast(sum(f.n) as bigint) as varchar)
        || ' numbers the same to the last digit' as finding,
    min(a.source) || ' and ' || min(b.source) as evidence,
    'by chance ' || cast(cast(round(sum(f.chance * f.n)) as bigint) as varchar)
        || ' would be; one step''s agreement has a chance below 1 in 10^'
        || cast(cast(floor(min(f.exponent) / 10 / ln(10)) as bigint) as varchar) || ' to 1 in 10^'
        || cast(cast(floor(max(f.exponent) / 10 / ln(10)) as bigint) as varchar)
        || ', if only a tenth of the tasks are independent' as sure
from found f
join numbered a on a.evaluation = f.first
join numbered b on b.evaluation = f.last
group by a.release, a.run, b.run, f.run_a, f.run_b
union all
select release, case when count(*) = 1 then min(run) else cast(count(*) as varchar) || ' runs, the first is ' || min(run) end,
    'all results are the same at step ' || cast(step as varchar) || ' and at step ' || cast(step_b as varchar),
    min(source) || ' and ' || min(source_b),
    'certain that the numbers are the same, ' || cast(min(different) as varchar)
        || ' different ones or more; at the first steps a learning rate of zero would explain it'
from steps where k = n and different >= 10
group by release, step, step_b
