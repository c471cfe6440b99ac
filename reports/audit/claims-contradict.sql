-- title: Two sources contradict each other
-- severity: warning
-- means: A release makes different claims in two places: for example a README and a list, a summary and its log, or a configuration and the arguments of the run.
-- do: Find out which is right, and correct the other.

with
-- A README's training tokens ("5.93 Trillion") against the last count of the first stage in the list of that name, its date left out.
trillions as (
    select release, source, place, value,
        replace(regexp_replace(subject, '^\[([^\]]*)\].*$', '\1'), ' ', '-') as model,
        try_cast(regexp_replace(value, '^([0-9.]+) Trillion.*$', '\1') as double) * 1e12 as tokens
    from claims where name = 'Training Tokens'
),
stages as (
    select release, regexp_replace(run, '/.*$', '') as model, run, source, max(cast(tokens as double)) as tokens, max(cast(step as bigint)) as step
    from checkpoints where tokens is not null and run like '%/stage1%' group by release, regexp_replace(run, '/.*$', ''), run, source
),
-- What a summary calls final against the last number of its log.
finals as (
    select release, subject, source, place, number, regexp_replace(name, '^final_', '') as metric
    from claims where name like 'final_%' and number is not null
),
lasts as (
    select m.release, m.run, m.metric, m.value, m.source, m.place, cast(m.step as bigint) as step,
        row_number() over (partition by m.release, m.run, m.metric order by m.step desc, m.value) as nth,
        count(*) over (partition by m.release, m.run, m.metric, m.step) as at_once
    from metrics m join (select distinct release, subject, metric from finals) f
        on f.release = m.release and f.subject = m.run and f.metric = m.metric
    where m.step is not null
),
-- What should be one number for a whole run.
settings as (
    select release, run, metric, min(source) as source, count(distinct value) as d, min(value) as least, max(value) as most,
        min(cast(step as bigint)) as first, max(cast(step as bigint)) as last
    from metrics where task = 'train' and (metric like '%_peak' or metric like 'batch_size%')
    group by release, run, metric having count(distinct value) > 1
),
setting_places as (
    select release, run, metric, value, count(*) as n, min(cast(step as bigint)) as first, max(cast(step as bigint)) as last,
        min(place) as place, dense_rank() over (partition by release, run, metric order by count(*), value) as nth
    from metrics where task = 'train' and (metric like '%_peak' or metric like 'batch_size%') group by release, run, metric, value
),
-- A link to a file of the repository that lies elsewhere in it.
links as (
    select release, source, place, value, regexp_replace(value, '^.*/blob/main/([^)]*)\).*$', '\1') as path
    from claims where value like '%/blob/main/%.csv)%'
),
files as (select release, source, regexp_replace(source, '^.*/', '') as name from sources),
-- Hyperparameters beside the arguments of the run, which are a list: an option, and after it its value.
arguments as (
    select release, subject, source, place, regexp_replace(name, '[.][0-9]+$', '') as list,
        try_cast(regexp_replace(name, '^.*[.]', '') as bigint) as nth, value
    from claims where name like '%_args.%'
),
hyper as (
    select release, subject, source, place, name, number from claims
    where name in ('hyperparameters.lr', 'hyperparameters.wd', 'hyperparameters.warmup') and number is not null
),
argued as (
    select h.release, h.subject, h.source, h.place, h.name, h.number, v.place as args_place, try_cast(v.value as double) as argument
    from hyper h
    join arguments o on o.release = h.release and o.subject = h.subject and o.source = h.source
        and o.value = '--' || regexp_replace(h.name, '^hyperparameters[.]', '')
    join arguments v on v.release = o.release and v.subject = o.subject and v.source = o.source and v.list = o.list and v.nth = o.nth + 1
),
-- One identity for several.
identities as (
    select release, name, value, count(distinct subject) as n, min(subject) as first, max(subject) as last, min(source) as source, min(place) as place
    from claims where name = 'uuid' group by release, name, value having count(distinct subject) > 1
),
-- One thing said twice of one subject, with two numbers.
twice as (
    select a.release, a.subject, a.name, a.value as value_a, b.value as value_b, a.source as source_a, a.place as place_a,
        b.source as source_b, b.place as place_b
    from claims a join claims b on a.release = b.release and a.subject = b.subject and a.name = b.name and a.source < b.source
    where a.number is not null and b.number is not null and abs(a.number - b.number) > 1e-9 * abs(a.number)
        and a.name not like 'config.%' and a.name not like 'path.%' and a.name not like 'versions.%' and a.name not like 'dataset.%'
        and a.name not like 'results.%'
)
select t.release, t.model as subject,
    'said to be trained on ' || t.value || ' tokens; its list ends stage 1 with ' || cast(cast(s.tokens as bigint) as varchar)
        || ' at step ' || cast(s.step as varchar) as finding,
    t.source || ' ' || t.place || ', ' || s.source as evidence,
    'certain that they differ by more than rounding; which is right, neither says' as sure
from trillions t join stages s on s.release = t.release and lower(regexp_replace(s.model, '-[0-9]{4}-', '-')) = lower(t.model)
where t.tokens is not null and abs(s.tokens - t.tokens) > 0.01e12
union all
select f.release, f.subject,
    'its summary says final ' || f.metric || ' ' || cast(f.number as varchar) || ', its log ends with ' || cast(l.value as varchar)
        || case when l.at_once > 1 then ', of ' || cast(l.at_once as varchar) || ' runs in the one log' else '' end,
    f.source || ' ' || f.place || ', ' || l.source || ' ' || l.place,
    'certain that they differ'
from finals f join lasts l on l.release = f.release and l.run = f.subject and l.metric = f.metric and l.nth = 1
where abs(f.number - l.value) > 1e-9 * abs(l.value)
union all
select s.release, s.run, s.metric || ' is from ' || cast(s.least as varchar) || ' to ' || cast(s.most as varchar) || ': '
        || cast(p.value as varchar) || ' at ' || cast(p.n as varchar) || ' steps from ' || cast(p.first as varchar) || ' to '
        || cast(p.last as varchar) || ', of a run that has ' || cast(s.d as varchar) || ' such values',
    s.source || ' ' || p.place, 'certain that it changes; a peak of a run is one number, unless the schedule was begun anew'
from settings s join setting_places p on p.release = s.release and p.run = s.run and p.metric = s.metric and p.nth = 1
union all
select l.release, l.path, 'linked, but it lies at ' || f.source, l.source || ' ' || l.place,
    'certain for this state of the repository'
from links l
left join files same on same.release = l.release and same.source = l.path
join files f on f.release = l.release and f.name = regexp_replace(l.path, '^.*/', '')
where same.source is null
union all
select release, subject, name || ' is ' || cast(number as varchar) || ', but the run''s argument is ' || cast(argument as varchar),
    source || ' ' || place || ', ' || args_place, 'certain that they differ; the file does not say which was used'
from argued where argument is not null and abs(argument - number) > 1e-9 * abs(number)
union all
select release, first, cast(n as varchar) || ' have one ' || name || ', the last is ' || last, source || ' ' || place || ': ' || value,
    'certain: an identity is of one'
from identities
union all
select release, subject, name || ' is ' || value_a || ' in one place and ' || value_b || ' in another',
    source_a || ' ' || place_a || ', ' || source_b || ' ' || place_b, 'certain that they differ'
from twice
