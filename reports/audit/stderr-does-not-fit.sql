-- title: A standard error does not fit its value
-- severity: warning
-- means: For a fraction p of n items the standard error is sqrt(p (1 - p) / (n - 1)), so both numbers together give n. Here n differs from the other results of the task.
-- do: Check whether a limit was set, items were dropped, or the numbers come from two evaluations.

with
implied as (
    select release, run, task, metric, cast(step as bigint) as step, value, stderr, source, place,
        value * (1 - value) / (stderr * stderr) + 1 as n
    from metrics where value > 0 and value < 1 and stderr > 0 and not isnan(stderr)
),
usual as (select release, task, metric, median(n) as n, count(*) as results from implied group by release, task, metric),
-- Only of metrics that are fractions: nearly all results tell one n, and it is whole.
fractions as (
    select i.release, i.task, i.metric, max(u.n) as n
    from implied i join usual u on u.release = i.release and u.task = i.task and u.metric = i.metric
    where u.results >= 5
    group by i.release, i.task, i.metric
    having avg(case when abs(i.n - u.n) < 0.002 * u.n then 1.0 else 0.0 end) >= 0.6 and abs(max(u.n) - round(max(u.n))) < 0.01
)
select i.release, i.run || ' ' || i.task || '.' || i.metric as subject,
    cast(i.value as varchar) || ' and ' || cast(i.stderr as varchar) || ' tell ' || cast(cast(round(i.n) as bigint) as varchar) || ' items, the others tell '
        || cast(cast(round(f.n) as bigint) as varchar) as finding,
    i.source || ' ' || i.place as evidence,
    'certain, if the error is of a mean as for the others' as sure
from implied i join fractions f on f.release = i.release and f.task = i.task and f.metric = i.metric
where abs(i.n - f.n) > 0.01 * f.n
union all
-- A whole number of items are right.
select i.release, i.run || ' ' || i.task || '.' || i.metric,
    cast(i.value as varchar) || ' of ' || cast(cast(round(f.n) as bigint) as varchar) || ' items is no whole number of items',
    i.source || ' ' || i.place, 'certain, if each item is right or wrong'
from implied i join fractions f on f.release = i.release and f.task = i.task and f.metric = i.metric
where abs(i.n - f.n) <= 0.01 * f.n and abs(i.value * round(f.n) - round(i.value * round(f.n))) > 0.02
union all
select release, run || ' ' || task || '.' || metric, 'its standard error is 0, and its value ' || cast(value as varchar) || ' is neither 0 nor 1',
    source || ' ' || place, 'certain, if it is of more than one item'
from metrics where stderr = 0 and value > 0 and value < 1
