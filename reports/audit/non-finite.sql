-- title: NaN or infinity
-- severity: error
-- means: A result, a loss, the norm of a gradient or a weight is not a finite number.
-- do: Find the first step where this happens; later steps may be worthless.

with
results as (
    select release, run, task || '.' || metric as what, cast(step as bigint) as step, source, place from metrics
    where isnan(value) or abs(value) > 1.7976931348623157e308 or (stderr is not null and (isnan(stderr) or abs(stderr) > 1.7976931348623157e308))
    union all
    select release, run, 'loss', cast(step as bigint), source, place from train_log
    where loss is not null and (isnan(loss) or abs(loss) > 1.7976931348623157e308)
    union all
    select release, run, 'grad_norm', cast(step as bigint), source, place from train_log
    where grad_norm is not null and (isnan(grad_norm) or abs(grad_norm) > 1.7976931348623157e308)
)
select release, case when count(distinct run) = 1 then min(run) else cast(count(distinct run) as varchar) || ' runs, the first is ' || min(run) end
        as subject,
    what || ' is not a number at ' || cast(count(*) as varchar) || case when count(*) = 1 then ' place' else ' places' end || ', the first step is '
        || coalesce(cast(min(step) as varchar), 'unknown') as finding,
    min(source || ' ' || place) as evidence, 'certain' as sure
from results group by release, what
union all
select '' as release, run || ' ' || checkpoint, tensor || ' has ' || cast(non_finite as varchar) || ' of ' || cast(elements as varchar)
        || ' elements that are not numbers', 'tensors: ' || checkpoint || ' ' || tensor, 'certain'
from tensors where non_finite > 0
