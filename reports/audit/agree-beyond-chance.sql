-- title: Results agree more often than chance allows
-- severity: error
-- means: Results said to be of different models, steps or settings are the same to the last digit for far more tasks than by chance, though not all: the same weights may have been evaluated twice.
-- do: Compare the two checkpoints' digests; if the weights are the same, one is under the wrong name.
-- How: for each task, how often two other runs of the release have the very same number is the chance that these two have.
-- With p the mean of these chances and k of n results equal, a Chernoff bound gives the chance of so many: e^(-n D(k/n || p)).
-- Tasks are not independent: so it is computed as if there were only a tenth as many, and reported below one in a million.
-- Where ten pairs or more can be compared at a step, none may be so far out: six median absolute deviations.
-- At least three of the equal numbers must be of metrics that hardly ever give one number twice: two models that both fail
-- at the same questions agree, and mean nothing by it.
-- The first hundredth of training is left out: runs that begin from the same weights are still nearly the same there.
with
evaluations as (
    select release, run, coalesce(cast(step as bigint), -1) as step, coalesce(cast(shots as bigint), -1) as shots, source,
        count(*) as n
    from metrics where task not in ('train', 'clock')
    group by release, run, coalesce(cast(step as bigint), -1), coalesce(cast(shots as bigint), -1), source
    having count(*) >= 20
),
ends as (select release, run, max(step) as last from evaluations group by release, run),
results as (
    select m.release, m.run, e.step, e.shots, m.source, m.task, m.metric, m.value
    from metrics m
    join evaluations e on e.release = m.release and e.run = m.run and e.source = m.source
        and e.step = coalesce(cast(m.step as bigint), -1) and e.shots = coalesce(cast(m.shots as bigint), -1)
    join ends on ends.release = m.release and ends.run = m.run
    where m.task not in ('train', 'clock') and (e.step < 0 or e.step >= 0.01 * ends.last)
),
-- Fine: a metric of which at least half the results are different numbers.
fine as (
    select release, task, metric, case when count(distinct value) >= 0.5 * count(*) then 1.0 else 0.0 end as fine
    from results group by release, task, metric
),
-- Two runs at one step.
across as (
    select a.release, a.task, a.metric, a.run as run_a, b.run as run_b, a.step, a.shots, a.source as source_a,
        b.source as source_b, case when a.value = b.value then 1.0 else 0.0 end as same
    from results a join results b
        on a.release = b.release and a.task = b.task and a.metric = b.metric and a.step = b.step and a.shots = b.shots
    where a.run < b.run
),
chances as (
    select release, task, metric, sum(same) as same, cast(count(*) as double) as n
    from across group by release, task, metric
),
-- What this pair of runs adds to that, over all its steps: left out of its own chance.
own as (
    select release, task, metric, run_a, run_b, sum(same) as same, cast(count(*) as double) as n
    from across group by release, task, metric, run_a, run_b
),
-- One run, one step, one number of examples as stated, in directories that say different numbers.
directories as (select release, source, min(value) as shots from claims where name = 'path.shots' group by release, source),
within as (
    select a.release, a.task, a.metric, a.run as run_a, b.run as run_b, a.step, a.source as source_a, b.source as source_b,
        case when a.value = b.value then 1.0 else 0.0 end as same
    from results a join results b
        on a.release = b.release and a.run = b.run and a.step = b.step and a.task = b.task and a.metric = b.metric
    join directories da on da.release = a.release and da.source = a.source
    join directories db on db.release = b.release and db.source = b.source
    where da.shots < db.shots
),
pairs as (
    select a.release, a.run_a, a.run_b, a.step, a.source_a, a.source_b, sum(a.same) as k, cast(count(*) as double) as n,
        sum(a.same * f.fine) as fine, avg((c.same - o.same + 0.5) / (c.n - o.n + 1.0)) as p
    from across a
    join chances c on c.release = a.release and c.task = a.task and c.metric = a.metric
    join fine f on f.release = a.release and f.task = a.task and f.metric = a.metric
    join own o on o.release = a.release and o.task = a.task and o.metric = a.metric and o.run_a = a.run_a and o.run_b = a.run_b
    group by a.release, a.run_a, a.run_b, a.step, a.source_a, a.source_b
    union all
    select w.release, w.run_a, w.run_b, w.step, w.source_a, w.source_b, sum(w.same), cast(count(*) as double),
        sum(w.same * f.fine), avg((coalesce(c.same, 0.0) + 0.5) / (coalesce(c.n, 0.0) + 1.0))
    from within w
    join fine f on f.release = w.release and f.task = w.task and f.metric = w.metric
    left join chances c on c.release = w.release and c.task = w.task and c.metric = w.metric
    group by w.release, w.run_a, w.run_b, w.step, w.source_a, w.source_b
),
bounds as (
    select *, n * (k / n * ln(k / n / p) + case when k < n then (1 - k / n) * ln((1 - k / n) / (1 - p)) else 0.0 end)
        as exponent
    from pairs where k > n * p and k > 0
),
-- Where every result of two runs is the same, same-content says so.
slices as (
    select release, run_a, run_b from pairs group by release, run_a, run_b having sum(k) = sum(n) and run_a < run_b
),
found as (
    select b.* from bounds b left join slices s
        on s.release = b.release and s.run_a = b.run_a and s.run_b = b.run_b
    where s.release is null and b.exponent / 10 > ln(1e6) and b.fine >= 3
),
-- How much any two runs agree at that step: the median, and the median distance from it.
shares as (select release, step, k / n as share from pairs where run_a < run_b),
middles as (select release, step, median(share) as middle, count(*) as n from shares group by release, step),
spreads as (
    select s.release, s.step, max(m.middle) as middle, max(m.n) as n, median(abs(s.share - m.middle)) as spread
    from shares s join middles m on m.release = s.release and m.step = s.step group by s.release, s.step
),
beyond as (
    select f.* from found f left join spreads s on s.release = f.release and s.step = f.step
    where s.n is null or s.n < 10 or f.k / f.n > s.middle + 6 * 1.4826 * s.spread
),
steps_in_all as (select release, run_a, run_b, count(*) as n from pairs group by release, run_a, run_b),
-- Two steps of one run with all results the same.
sizes as (
    select release, run, source, step, shots, n, lead(source) over (partition by release, run, shots order by step) as source_b,
        lead(step) over (partition by release, run, shots order by step) as step_b,
        lead(n) over (partition by release, run, shots order by step) as n_b
    from evaluations where step >= 0
),
steps as (
    select s.release, s.run, s.step, s.step_b, s.source, s.source_b, s.n, count(*) as k, count(distinct a.value) as different
    from sizes s
    join metrics a on a.release = s.release and a.source = s.source and a.run = s.run and cast(a.step as bigint) = s.step
    join metrics b on b.release = s.release and b.source = s.source_b and b.run = s.run and cast(b.step as bigint) = s.step_b
        and b.task = a.task and b.metric = a.metric and b.value = a.value
    where s.n = s.n_b and s.step < s.step_b and a.task not in ('train', 'clock')
    group by s.release, s.run, s.step, s.step_b, s.source, s.source_b, s.n
)
select f.release, case when f.run_a = f.run_b then f.run_a else f.run_a || ' and ' || f.run_b end as subject,
    case when f.run_a = f.run_b then 'results of different directories agree at ' else 'results agree at ' end
        || cast(count(*) as varchar) || ' of ' || cast(max(t.n) as varchar) || ' evaluations, steps '
        || cast(min(f.step) as varchar) || ' to ' || cast(max(f.step) as varchar) || ': '
        || cast(cast(sum(f.k) as bigint) as varchar) || ' of ' || cast(cast(sum(f.n) as bigint) as varchar)
        || ' numbers the same to the last digit' as finding,
    min(f.source_a) || ' and ' || min(f.source_b) as evidence,
    'by chance ' || cast(cast(round(sum(f.p * f.n)) as bigint) as varchar)
        || ' would be; one step''s agreement has a chance below 1 in 10^'
        || cast(cast(floor(min(f.exponent) / 10 / ln(10)) as bigint) as varchar) || ' to 1 in 10^'
        || cast(cast(floor(max(f.exponent) / 10 / ln(10)) as bigint) as varchar)
        || ', if only a tenth of the tasks are independent' as sure
from beyond f join steps_in_all t on t.release = f.release and t.run_a = f.run_a and t.run_b = f.run_b
group by f.release, f.run_a, f.run_b
union all
select release, case when count(*) = 1 then min(run) else cast(count(*) as varchar) || ' runs, the first is ' || min(run) end,
    'all results are the same at step ' || cast(step as varchar) || ' and at step ' || cast(step_b as varchar),
    min(source) || ' and ' || min(source_b),
    'certain that the numbers are the same, ' || cast(min(different) as varchar)
        || ' different ones or more; at the first steps a learning rate of zero would explain it'
from steps where k = n and different >= 10
group by release, step, step_b
