-- title: The same content under two names
-- severity: error
-- means: Two files, checkpoints or list rows that should be different are equal, byte for byte or number for number.
-- do: Find out which name is right, publish the correct content for the other, and say so in the notes of the release.

-- Byte equality is certain. What two names of one content mean is not: a log may lie in two folders on purpose.
with
-- Files with one digest.
files as (
    select release, digest, count(*) as n, min(source) as first, max(source) as last
    from sources where digest is not null and size > 0
    group by release, digest having count(*) > 1
),
-- Checkpoints with one state.
states as (
    select a.release, a.run, a.label as first, b.label as last, a.source as source_a, a.place as place_a,
        b.source as source_b, b.place as place_b, a.state
    from checkpoints a join checkpoints b on a.release = b.release and a.state = b.state
    where a.state is not null and (a.run < b.run or (a.run = b.run and a.label < b.label))
),
-- Checkpoints whose every tensor is that of another.
whole as (select run, checkpoint, count(*) as n from tensors group by run, checkpoint),
tensor_pairs as (
    select a.checkpoint as first, b.checkpoint as last, a.run, count(*) as n
    from tensors a join tensors b on a.tensor = b.tensor and a.digest = b.digest
    where a.checkpoint < b.checkpoint
    group by a.checkpoint, b.checkpoint, a.run
),
-- Checkpoints that moved by less than a millionth of their norm since the one before.
still as (
    select run, checkpoint, count(*) as n, max(distance_to_previous / nullif(norm, 0)) as most
    from tensors where distance_to_previous is not null and norm > 0
    group by run, checkpoint having max(distance_to_previous / nullif(norm, 0)) < 1e-6
),
-- One path at two steps of a list.
paths as (
    select release, source, path, count(*) as n, min(place) as first, max(place) as last,
        min(cast(step as bigint)) as step_a, max(cast(step as bigint)) as step_b
    from checkpoints group by release, source, path
    having count(distinct coalesce(cast(step as bigint), -1)) > 1
),
-- One value listed twice under one name.
listed as (
    select release, source, subject, name, value, count(*) as n, min(place) as first, max(place) as last
    from claims where value like 'http%' and name like 'dataset.%'
    group by release, source, subject, name, value having count(*) > 1
),
-- Two runs with one file, by the digest that the release states.
blobs as (
    select release, name, value, count(distinct subject) as n, min(subject) as first, max(subject) as last,
        min(source) as source, min(place) as place_a, max(place) as place_b
    from claims where name in ('blob', 'digest', 'sha256', 'md5')
    group by release, name, value having count(distinct subject) > 1
),
-- Series of results that are wholly in another's.
results as (
    select release, run, task, metric, coalesce(cast(shots as bigint), -1) as shots, cast(step as bigint) as step, value,
        min(source) as source
    from metrics where step is not null and task not in ('train', 'clock')
    group by release, run, task, metric, coalesce(cast(shots as bigint), -1), cast(step as bigint), value
),
-- Only numbers that are hardly ever the same by chance: nearly every result has its own.
fine as (
    select release, task, metric from results group by release, task, metric
    having count(*) >= 20 and count(distinct value) >= 0.5 * count(*)
),
fine_results as (
    select r.* from results r join fine f on r.release = f.release and r.task = f.task and r.metric = f.metric
),
series as (select release, run, count(*) as n, min(source) as source from fine_results group by release, run),
common as (
    select a.release, a.run as first, b.run as last, count(*) as n
    from fine_results a join fine_results b
        on a.release = b.release and a.task = b.task and a.metric = b.metric and a.shots = b.shots and a.step = b.step
        and a.value = b.value
    where a.run < b.run
    group by a.release, a.run, b.run
),
-- Each such series once: with the longest that holds it; and not where the release itself says that the files are the same.
held as (
    select c.release, case when a.n <= b.n then c.first else c.last end as run, case when a.n <= b.n then c.last else c.first end as whole,
        c.n, a.source as source_a, b.source as source_b, greatest(a.n, b.n) as size
    from common c
    join series a on a.release = c.release and a.run = c.first
    join series b on b.release = c.release and b.run = c.last
    where c.n >= 10 and (c.n = a.n or c.n = b.n)
),
ranked as (select *, row_number() over (partition by release, run order by size desc, whole) as place from held),
said as (
    select distinct a.release, a.subject as first, b.subject as last
    from claims a join claims b on a.release = b.release and a.name = b.name and a.value = b.value and a.subject <> b.subject
    where a.name in ('blob', 'digest', 'sha256', 'md5')
)
select release, first as subject,
    cast(n as varchar) || ' files have the same bytes, the last is ' || last as finding,
    first || ', ' || last || ': ' || digest as evidence,
    'certain that they are the same: one digest' as sure
from files
union all
select release, run || ' ' || first, first || ' and ' || last || ' have the same state' as finding,
    source_a || ' ' || place_a || ', ' || source_b || ' ' || place_b || ': ' || state,
    'certain that they are the same: one digest'
from states
union all
select '' as release, p.first, 'every tensor of ' || p.first || ' is that of ' || p.last,
    'tensors: ' || cast(p.n as varchar) || ' of ' || cast(p.n as varchar) || ' digests',
    'certain that they are the same: one digest a tensor'
from tensor_pairs p
join whole a on a.checkpoint = p.first and a.n = p.n
join whole b on b.checkpoint = p.last and b.n = p.n
union all
select '' as release, checkpoint, 'its weights are nearly those of the checkpoint before',
    'tensors.distance_to_previous: no tensor moved by more than ' || cast(most as varchar) || ' of its norm',
    'certain that they are the same; a learning rate of zero would explain it'
from still
union all
select release, path, 'listed at step ' || cast(step_a as varchar) || ' and at step ' || cast(step_b as varchar),
    source || ' ' || first || ', ' || last, 'certain: one path cannot hold two steps'
from paths
union all
select release, subject || ' ' || name, 'listed ' || cast(n as varchar) || ' times: ' || value,
    source || ' ' || first || ', ' || last, 'certain that it is listed so; harmless, if it was read once'
from listed
union all
select release, first, cast(n as varchar) || ' runs have one log, the last is ' || last,
    source || ' ' || place_a || ', ' || place_b || ': ' || name || ' ' || value,
    'certain that they are the same: one digest'
from blobs
union all
select h.release, h.run, 'all its ' || cast(h.n as varchar) || ' results stand in ' || h.whole, h.source_a || ', ' || h.source_b,
    'certain that the numbers are the same, to the last digit: each is of a kind that hardly ever comes twice'
from ranked h left join said s on s.release = h.release and s.first = h.run and s.last = h.whole
where h.place = 1 and s.release is null
