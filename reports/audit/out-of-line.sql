-- title: A checkpoint is out of line with its neighbours
-- severity: warning
-- means: At one step many results, or the norms of many tensors, lie outside what the steps before and after have, by far more than they usually move.
-- do: Evaluate this step again with the same settings; compare its weights with its neighbours'.
-- How far a result lies outside the two beside it is measured in median absolute deviations of the series from its neighbours' mean.
-- The same questions are asked at each step, so results move by less than their standard error; a quarter of it is the least scale.
-- The first twentieth of training is left out, where results move fast. Tasks of one kind move together: so it takes
-- eight results and one in twenty, and if all are of one kind (the name before the first _) it says so.
with
points as (
    select release, run, coalesce(cast(shots as bigint), -1) as shots, cast(step as bigint) as step, task, metric,
        avg(value) as value, max(coalesce(stderr, 0.0)) as stderr, min(source) as source, min(place) as place
    from metrics where step is not null and task not in ('train', 'clock') and not isnan(value)
    group by release, run, coalesce(cast(shots as bigint), -1), cast(step as bigint), task, metric
    union all
    select '' as release, run, -1 as shots, cast(step as bigint) as step, tensor as task, 'norm' as metric, norm as value, 0.0 as stderr,
        checkpoint as source, tensor as place
    from tensors where step is not null
),
beside as (
    select *, lag(value) over (partition by release, run, shots, task, metric order by step) as before,
        lead(value) over (partition by release, run, shots, task, metric order by step) as after
    from points
),
inner_points as (
    select *, abs(value - (before + after) / 2) as from_mean,
        case when value > greatest(before, after) then value - greatest(before, after)
            when value < least(before, after) then least(before, after) - value else 0.0 end as outside
    from beside where before is not null and after is not null
),
scales as (
    select release, run, shots, task, metric, 1.4826 * median(from_mean) as scale, count(*) as n
    from inner_points group by release, run, shots, task, metric
),
ends as (select release, run, max(step) as last from points group by release, run),
scored as (
    select p.release, p.run, p.shots, p.step, p.task, p.metric, p.value, p.source, p.place, p.before, p.after,
        p.outside / (case when s.scale > 0.25 * p.stderr then s.scale else 0.25 * p.stderr end) as score
    from inner_points p
    join scales s on s.release = p.release and s.run = p.run and s.shots = p.shots and s.task = p.task and s.metric = p.metric
    join ends e on e.release = p.release and e.run = p.run
    where s.n >= 8 and (s.scale > 0 or p.stderr > 0) and p.step >= 0.05 * e.last
),
ranked as (
    select *, row_number() over (partition by release, run, shots, step order by score desc, task, metric) as at from scored
),
steps as (
    select release, run, shots, step, count(*) as n, sum(case when score > 4 then 1 else 0 end) as far,
        min(case when score > 4 then regexp_replace(task, '_.*$', '') end) as kind_a,
        max(case when score > 4 then regexp_replace(task, '_.*$', '') end) as kind_b
    from scored group by release, run, shots, step
)
select s.release, s.run || ' step ' || cast(s.step as varchar) as subject,
    cast(s.far as varchar) || ' of ' || cast(s.n as varchar) || ' results are out of line, most ' || r.task || '.' || r.metric || ': '
        || cast(r.value as varchar) || ' between ' || cast(r.before as varchar) || ' and ' || cast(r.after as varchar) as finding,
    r.source || ' ' || r.place as evidence,
    'likely: ' || cast(round(r.score) as varchar) || ' deviations, where 4 are rare; '
        || case when s.kind_a = s.kind_b then 'but all are of one kind of task, ' || s.kind_a || ', so it may be the evaluation'
        else 'of several kinds of task; a real jump in training cannot be told from a wrong file' end as sure
from steps s join ranked r on r.release = s.release and r.run = s.run and r.shots = s.shots and r.step = s.step and r.at = 1
where s.far >= 8 and s.far >= 0.05 * s.n
