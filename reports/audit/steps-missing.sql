-- title: Steps are missing
-- severity: warning
-- means: A regular series of checkpoints or evaluations has a gap, or an evaluation lacks most of the results that the others have.
-- do: Publish what is missing, or say that it does not exist.

-- A gap is reported where it is at least twice the usual stride of the ten rows around it, which most of these have, and of the
-- strides before and after it, if there is one after.
-- So a series that doubles its steps, changes its stride once, or has an extra checkpoint at a restart has no gap.
with
-- The evaluations of a run that lie in one directory are a series.
series as (
    select distinct release, run, source, '' as what, cast(step as bigint) as step
    from checkpoints where step is not null
    union
    select distinct release, run, '' as source, regexp_replace(source, '/[^/]*$', '') as what, cast(step as bigint) as step
    from metrics where step is not null
),
strides as (
    select *, lag(step) over (partition by release, run, source, what order by step) as before,
        cast(dense_rank() over (partition by release, run, source, what order by step) as bigint) as nth
    from series
),
lengths as (select *, step - before as stride from strides where before is not null),
-- Only what is longer than the stride before it can be a gap.
wide as (
    select * from (
        select *, lag(stride) over (partition by release, run, source, what order by nth) as stride_before,
            lead(stride) over (partition by release, run, source, what order by nth) as stride_after
        from lengths
    ) as l where stride >= 2 * stride_before and (stride_after is null or stride >= 2 * stride_after)
),
around as (
    select a.release, a.run, a.source, a.what, a.step, a.before, a.stride, a.nth, median(cast(b.stride as double)) as usual, count(*) as n
    from wide a join lengths b
        on a.release = b.release and a.run = b.run and a.source = b.source and a.what = b.what
        and b.nth between a.nth - 5 and a.nth + 5 and b.nth <> a.nth
    group by a.release, a.run, a.source, a.what, a.step, a.before, a.stride, a.nth
),
-- Regular: most of the strides around are the usual one.
gaps as (
    select a.release, a.run, a.source, a.what, a.nth, max(a.step) as step, max(a.before) as before, max(a.usual) as usual,
        max(round(a.stride / a.usual) - 1) as missing
    from around a join lengths b
        on a.release = b.release and a.run = b.run and a.source = b.source and a.what = b.what
        and b.nth between a.nth - 5 and a.nth + 5 and b.nth <> a.nth
    where a.stride >= 2 * a.usual and a.n >= 5
    group by a.release, a.run, a.source, a.what, a.nth
    having avg(case when b.stride = a.usual then 1.0 else 0.0 end) > 0.5
),
-- A series once, whatever the directory.
holes as (select distinct release, run, source, before, step, usual, missing from gaps),
largest as (
    select *, row_number() over (partition by release, run, source order by missing desc, step) as nth,
        count(*) over (partition by release, run, source) as n, sum(missing) over (partition by release, run, source) as all_missing
    from holes
),
places as (select release, run, source, cast(step as bigint) as step, min(place) as place from checkpoints
    group by release, run, source, cast(step as bigint)),
files as (
    select release, run, cast(step as bigint) as step, min(source) as source
    from metrics where step is not null group by release, run, cast(step as bigint)
),
-- How many results each evaluation has.
evaluations as (
    select release, run, regexp_replace(source, '/[^/]*$', '') as what, cast(step as bigint) as step,
        count(distinct task || ' ' || metric) as n, min(source) as source
    from metrics where step is not null
    group by release, run, regexp_replace(source, '/[^/]*$', ''), cast(step as bigint)
),
usual as (select release, run, what, median(cast(n as double)) as n, count(*) as steps from evaluations group by release, run, what),
-- Numbered parts of a list: part-07-00000.
parts as (
    select release, source, subject, name, place,
        try_cast(regexp_replace(value, '^.*/part-([0-9]+)-[0-9]+[.].*$', '\1') as bigint) as part
    from claims where name like 'dataset.%' and value like '%/part-%'
),
part_gaps as (
    select *, lag(part) over (partition by release, source, subject, name order by part) as before,
        lag(place) over (partition by release, source, subject, name order by part) as place_before
    from parts where part is not null
)
-- Runs with the very same gap, as by a schedule that they share, are one finding.
select g.release, case when count(*) = 1 then min(g.run) else cast(count(*) as varchar) || ' runs, the first is ' || min(g.run) end as subject,
    case when g.n = 1 then 'nothing between step ' else cast(g.n as varchar) || ' gaps, ' || cast(cast(g.all_missing as bigint) as varchar)
            || ' steps in all; the widest, nothing between step ' end
        || cast(g.before as varchar) || ' and step ' || cast(g.step as varchar) || ', where every '
        || cast(cast(g.usual as bigint) as varchar) || ' steps would be ' || cast(cast(g.missing as bigint) as varchar) || ' more' as finding,
    min(coalesce(p.source || ' ' || p.place, f.source)) as evidence,
    'certain that they are not there; whether they ever were, no file says' as sure
from largest g
left join places p on p.release = g.release and p.run = g.run and p.source = g.source and p.step = g.step
left join files f on f.release = g.release and f.run = g.run and f.step = g.step and g.source = ''
where g.nth = 1
group by g.release, g.source, g.before, g.step, g.usual, g.missing, g.n, g.all_missing
union all
select e.release, e.run,
    'at step ' || cast(e.step as varchar) || ' there are ' || cast(e.n as varchar) || ' results, where the others have '
        || cast(cast(u.n as bigint) as varchar),
    e.source, 'certain that they are not there'
from evaluations e join usual u on u.release = e.release and u.run = e.run and u.what = e.what
where u.steps >= 5 and e.n < 0.75 * u.n
union all
select release, subject || ' ' || name,
    'no part between ' || cast(before as varchar) || ' and ' || cast(part as varchar) || ' of the list',
    source || ' ' || place_before || ', ' || place,
    'certain that they are not listed; whether they ever were, no file says'
from part_gaps where part > before + 1
