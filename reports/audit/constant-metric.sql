-- title: A result or a tensor never changes
-- severity: note
-- means: A task has the same value at every step, which is not its minimum or maximum, or all numbers of a matrix are equal: it measures nothing, or has no effect.
-- do: Do not compare models by it; check the prompt of the task.

-- Fewer than 8 steps, and 0 and 1, are left out: a task may be too hard or too easy.
with
series as (
    select release, run, task, metric, coalesce(cast(shots as bigint), -1) as shots, count(distinct step) as n,
        count(distinct value) as d, min(value) as value, min(source) as source, min(place) as place
    from metrics where step is not null and task not in ('train', 'clock')
    group by release, run, task, metric, coalesce(cast(shots as bigint), -1)
    having count(distinct step) >= 8
),
still as (
    select release, task, metric, shots, value, count(*) as runs, min(run) as first, max(n) as n, min(source) as source, min(place) as place
    from series where d = 1 and value <> 0 and value <> 1 group by release, task, metric, shots, value
),
all_of as (select release, task, metric, shots, count(*) as runs from series group by release, task, metric, shots)
select s.release, s.task || '.' || s.metric as subject,
    'is ' || cast(s.value as varchar) || ' at every step' || case when s.shots >= 0 then ' with ' || cast(s.shots as varchar) || ' examples' else '' end
        || ' in ' || cast(s.runs as varchar) || ' of ' || cast(a.runs as varchar) || ' runs, the first is ' || s.first as finding,
    s.source || ' ' || s.place as evidence,
    case when s.runs > 1 then 'certain: the model always gives one answer, or the task does not depend on it'
        else 'certain that it does not change; one run alone may be chance' end as sure
from still s join all_of a on a.release = s.release and a.task = s.task and a.metric = s.metric and a.shots = s.shots
union all
select '' as release, run || ' ' || checkpoint, tensor || ' is ' || cast(min as varchar) || ' throughout',
    'tensors: ' || checkpoint || ' ' || tensor, 'certain; before training the weights of a norm are'
from tensors where elements > 1 and min = max and shape like '%,%'
