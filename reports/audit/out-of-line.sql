-- title: A checkpoint is out of line with its neighbours
-- severity: warning
-- means: At one step many results, or the norms of many tensors, differ from the steps before and after by far more than they usually change.
-- do: Evaluate this step again with the same settings, and compare its weights with those of its neighbours.

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
        lead(value) over (partition by release, run, shots, task, metric order by step) as after,
        max(step) over (partition by release, run) as last
    from points
),
inner_points as (
    select *, abs(value - (before + after) / 2) as from_mean,
        case when value > greatest(before, after) then value - greatest(before, after)
            when value < least(before, after) then least(before, after) - value else 0.0 end as outside
    from beside where before is not null and after is not null
),
scaled as (
    select *, 1.4826 * median(from_mean) over (partition by release, run, shots, task, metric) as scale,
        count(*) over (partition by release, run, shots, task, metric) as n
    from inner_points
),
scored as (
    select *, outside / (case when scale > 0.25 * stderr then scale else 0.25 * stderr end) as score
    from scaled where n >= 8 and (scale > 0 or stderr > 0) and step >= 0.05 * last
),
steps as (
    select *, count(*) over (partition by release, run, shots, step) as results,
        sum(case when score > 4 then 1 else 0 end) over (partition by release, run, shots, step) as far,
        min(case when score > 4 then regexp_replace(task, '_.*$', '') end) over (partition by release, run, shots, step) as kind_a,
        max(case when score > 4 then regexp_replace(task, '_.*$', '') end) over (partition by release, run, shots, step) as kind_b,
        row_number() over (partition by release, run, shots, step order by score desc, task, metric) as nth
    from scored
)
select release, run || ' step ' || cast(step as varchar) as subject,
    cast(far as varchar) || ' of ' || cast(results as varchar) || ' results are out of line, most ' || task || '.' || metric || ': '
        || cast(value as varchar) || ' between ' || cast(before as varchar) || ' and ' || cast(after as varchar) as finding,
    source || ' ' || place as evidence,
    'likely: ' || cast(round(score) as varchar) || ' deviations, where 4 are rare; '
        || case when kind_a = kind_b then 'but all are of one kind of task, ' || kind_a || ', so it may be the evaluation'
        else 'of several kinds of task; a real jump in training cannot be told from a wrong file' end as sure
from steps where nth = 1 and far >= 8 and far >= 0.05 * results
