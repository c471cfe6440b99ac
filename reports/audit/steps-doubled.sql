-- title: Steps are doubled or out of order
-- severity: warning
-- means: A step of a run is listed twice, with equal or different numbers, or the steps of a list go backwards.
-- do: Keep one; if the numbers differ, find out which belong to this run, and give the others another name.

with
lines as (
    select release, run, source, place, cast(step as bigint) as step, path,
        try_cast(regexp_replace(place, '^line ([0-9]+)$', '\1') as bigint) as line
    from checkpoints where step is not null
),
twice as (
    select release, run, source, step, count(*) as n, count(distinct path) as paths, min(line) as first, max(line) as last
    from lines group by release, run, source, step having count(*) > 1
),
listed as (
    select release, run, source, count(*) as steps, sum(n) as n, sum(case when paths > 1 then 1 else 0 end) as differing,
        min(step) as first_step, max(step) as last_step, min(first) as first, max(last) as last
    from twice group by release, run, source
),
order_of as (
    select *, lag(step) over (partition by release, run, source order by line) as before from lines where line is not null
),
back as (
    select release, run, source, count(*) as n, min(line) as line, min(before) as before
    from order_of where step < before group by release, run, source
),
-- Results: the same run, step, task, metric and number of examples from two files, or from two lines of one.
doubled as (
    select a.release, a.run, a.shots, a.source as source_a, b.source as source_b, a.value as value_a, b.value as value_b,
        a.place as place_a, b.place as place_b, cast(a.step as bigint) as step
    from metrics a join metrics b
        on a.release = b.release and a.run = b.run and a.step = b.step and a.task = b.task and a.metric = b.metric
        and coalesce(cast(a.shots as bigint), -1) = coalesce(cast(b.shots as bigint), -1) and a.source < b.source
),
by_file as (
    select release, run, source_a, source_b, step, count(*) as n, sum(case when value_a = value_b then 1 else 0 end) as same,
        max(case when value_a = value_b then '' else place_a || ' ' || cast(value_a as varchar) || ' and ' || cast(value_b as varchar) end)
            as example
    from doubled group by release, run, source_a, source_b, step
),
-- What the two files say they are of.
models as (
    select release, source, min(regexp_replace(value, '^.*pretrained=([^,]*).*$', '\1')) as model
    from claims where name = 'config.model_args' and value like '%pretrained=%' group by release, source
),
-- All of a run in one line, but each evaluation that differs much from its double in its own.
files as (
    select b.*, ma.model as model_a, mb.model as model_b, case when b.same < 0.9 * b.n then b.step else -1 end as alone,
        case when ma.model <> mb.model then 1 else 0 end as two_models
    from by_file b
    left join models ma on ma.release = b.release and ma.source = b.source_a
    left join models mb on mb.release = b.release and mb.source = b.source_b
),
by_run as (
    select release, run, two_models, case when two_models = 1 then -1 else alone end as alone, count(*) as steps,
        sum(n) as n, sum(same) as same, min(step) as first, max(step) as last, min(source_a) as source_a, min(source_b) as source_b,
        max(example) as example, min(model_a) as model_a, min(model_b) as model_b
    from files group by release, run, two_models, case when two_models = 1 then -1 else alone end
),
within as (
    select release, run, source, cast(step as bigint) as step, task, metric, coalesce(cast(shots as bigint), -1) as shots,
        count(*) as n, count(distinct value) as d, min(place) as place
    from metrics where step is not null
    group by release, run, source, cast(step as bigint), task, metric, coalesce(cast(shots as bigint), -1)
    having count(*) > 1
),
by_series as (
    select release, run, source, min(task || '.' || metric) as what, count(distinct task || '.' || metric) as series, count(distinct step) as steps,
        max(n) as most, sum(case when d > 1 then 1 else 0 end) as differing, min(place) as place
    from within group by release, run, source
),
logged as (
    select release, run, source, count(*) as steps, sum(n) as n, min(place) as place from (
        select release, run, source, cast(step as bigint) as step, count(*) as n, min(place) as place from train_log
        group by release, run, source, cast(step as bigint) having count(*) > 1
    ) as t group by release, run, source
)
select release, run as subject,
    cast(steps as varchar) || ' steps are listed more than once, from ' || cast(first_step as varchar) || ' to '
        || cast(last_step as varchar) || case when differing > 0 then ', ' || cast(differing as varchar) || ' of them with another path'
        else ', each with one path' end as finding,
    source || ' lines ' || cast(first as varchar) || ' to ' || cast(last as varchar) as evidence,
    case when differing > 0 then 'certain that they are; which path is right, the list does not say'
        else 'certain; harmless but for the count of checkpoints' end as sure
from listed
union all
select release, run, 'goes back at ' || cast(n as varchar) || ' lines, first from step ' || cast(before as varchar),
    source || ' line ' || cast(line as varchar), 'certain'
from back
union all
select release, run,
    case when steps = 1 then 'step ' || cast(first as varchar) || ' was evaluated twice: '
        else cast(steps as varchar) || ' steps were evaluated twice, ' || cast(first as varchar) || ' to ' || cast(last as varchar) || ': ' end
        || cast(same as varchar) || ' of ' || cast(n as varchar) || ' results are the same'
        || case when two_models = 1 then '; the files are of ' || model_a || ' and of ' || model_b else '' end,
    source_a || ' and ' || source_b || case when example = '' then '' else ': ' || example end,
    case when two_models = 1 then 'certain: two models under one name'
        when same = n then 'certain; harmless, a repeat'
        when same >= 0.9 * n then 'certain that some differ; so few and so little that the repeat explains them'
        else 'certain that they differ, more than a repeat of one evaluation should' end
from by_run
union all
select release, run,
    cast(steps as varchar) || ' steps of ' || what
        || case when series > 1 then ' and ' || cast(series - 1 as varchar) || ' more series' else '' end
        || ' stand up to ' || cast(most as varchar) || ' times, '
        || case when differing > 0 then 'with other values' else 'with the same values' end,
    source || ' ' || place,
    case when differing > 0 then 'certain: more than one run, or one that began again' else 'certain; harmless, a repeat' end
from by_series
union all
select release, run, cast(steps as varchar) || ' steps of the log stand more than once', source || ' ' || place, 'certain'
from logged
