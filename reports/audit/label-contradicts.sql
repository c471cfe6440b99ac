-- title: A label contradicts what it labels
-- severity: error
-- means: The name of a file, directory, list or path gives another step, model or setting than its content.
-- do: Find out which is right; readers trust the name.

with
labels as (
    select release, run, source, place, label, path, cast(step as bigint) as step,
        try_cast(regexp_replace(label, '^.*step-?_?([0-9]+).*$', '\1') as bigint) as labelled
    from checkpoints where step is not null and label like '%step%'
),
-- What the path of an evaluation says: .../pythia-70m-deduped/five-shot/..._step3000....json
paths as (
    select release, source, min(run) as run,
        case when source like '%step%' then try_cast(regexp_replace(source, '^.*step-?_?([0-9]+)[^/]*$', '\1') as double) end as step,
        case when source like '%five-shot/%' then 5.0 when source like '%zero-shot/%' then 0.0 end as shots,
        case when regexp_replace(source, '^(.*/)?[a-z]+-[0-9.]+[mbMB][^/]*/.*$', 'model') = 'model'
            then regexp_replace(source, '^(.*/)?([a-z]+-[0-9.]+[mbMB][^/]*)/.*$', '\2') end as model
    from metrics group by release, source
),
-- What it says of itself.
selves as (
    select release, source,
        max(case when name = 'config.model_args.iteration' then number end) as iteration,
        max(case when name = 'config.model_args' and value like '%revision=step%'
            then try_cast(regexp_replace(value, '^.*revision=step([0-9]+).*$', '\1') as double) end) as revision,
        max(case when name = 'config.num_fewshot' then number end) as shots,
        max(case when name = 'config.model_args' and value like '%pretrained=%' then regexp_replace(value, '^.*pretrained=([^,]*).*$', '\1') end)
            as pretrained,
        max(case when name like 'config.model_args.train_data_paths%' then value end) as data,
        max(case when name = 'config.model_args.eval_results_prefix' then value end) as prefix
    from claims where name like 'config.%' group by release, source
),
both_of as (
    select p.release, p.source, p.run, p.step, p.shots, p.model, coalesce(s.iteration, s.revision) as own_step, s.shots as own_shots,
        s.pretrained, s.data,
        case when s.prefix like '%step%' then try_cast(regexp_replace(s.prefix, '^.*step-?_?([0-9]+).*$', '\1') as double) end as prefix_step,
        -- pythia-70m-deduped is EleutherAI/pythia-v1.1-70m-deduped: the name after the family's.
        regexp_replace(p.model, '^[a-z]+-', '') as size
    from paths p join selves s on s.release = p.release and s.source = p.source
),
-- Two runs of other names whose lists have one path.
shared as (
    select a.release, a.run as first, b.run as last, count(distinct a.path) as n, min(a.source) as source_a, min(b.source) as source_b,
        min(a.path) as path
    from checkpoints a join checkpoints b on a.release = b.release and a.path = b.path and a.run < b.run
    group by a.release, a.run, b.run
),
sizes as (select release, run, count(distinct path) as n from checkpoints group by release, run),
-- Two lists of one name that have no path in common at the steps they share.
lists as (
    select a.release, a.run, a.source as source_a, b.source as source_b, count(distinct a.step) as n,
        sum(case when a.path = b.path then 1 else 0 end) as same, min(a.place) as place_a, min(b.place) as place_b
    from checkpoints a join checkpoints b
        on a.release = b.release and a.run = b.run and a.step = b.step and a.source < b.source
    group by a.release, a.run, a.source, b.source
)
select release, run || ' ' || label as subject,
    'step ' || cast(step as varchar) || ' is labelled ' || label as finding,
    source || ' ' || place || ': ' || path as evidence,
    'certain that they differ' as sure
from labels where labelled is not null and labelled <> step
union all
select release, run, cast(count(*) as varchar) || ' files lie under ' || cast(cast(shots as bigint) as varchar)
        || '-shot, but state num_fewshot ' || cast(cast(own_shots as bigint) as varchar) || ', steps '
        || cast(cast(min(step) as bigint) as varchar) || ' to ' || cast(cast(max(step) as bigint) as varchar),
    min(source) || ' /config/num_fewshot', 'certain that they differ; agree-beyond-chance may tell which is right'
from both_of where shots <> own_shots group by release, run, shots, own_shots
union all
select release, run, 'its name says step ' || cast(cast(step as bigint) as varchar) || ', it says step '
        || cast(cast(own_step as bigint) as varchar), source || ' /config/model_args', 'certain that they differ'
from both_of where step <> own_step
union all
select release, run, 'it is named after step ' || cast(cast(step as bigint) as varchar) || ', it was written as step '
        || cast(cast(prefix_step as bigint) as varchar), source || ' /config/model_args/eval_results_prefix', 'certain that they differ'
from both_of where step <> prefix_step
union all
select release, run, cast(count(*) as varchar) || ' files lie under ' || model || ', but are of ' || pretrained,
    min(source) || ' /config/model_args', 'certain that the names differ; whether the models do, the names do not say'
from both_of where pretrained is not null and model is not null and pretrained not like '%-' || size
group by release, run, model, pretrained
union all
select release, run, cast(count(*) as varchar) || ' files lie under ' || model || ', but the data of the model were ' || data,
    min(source) || ' /config/model_args/train_data_paths', 'certain that the names differ'
from both_of where model is not null and data is not null and data <> 'null'
    and (case when model like '%dedup%' then 1 else 0 end) <> (case when data like '%dedup%' then 1 else 0 end)
group by release, run, model, data
union all
select s.release, s.first || ' and ' || s.last,
    cast(s.n as varchar) || ' paths are in the lists of both, of ' || cast(a.n as varchar) || ' and ' || cast(b.n as varchar),
    s.source_a || ' and ' || s.source_b || ': ' || s.path,
    'certain that one path is under two names; where one run goes on from another it may be right'
from shared s
join sizes a on a.release = s.release and a.run = s.first
join sizes b on b.release = s.release and b.run = s.last
union all
select release, run, 'two lists of this name have ' || cast(n as varchar) || ' steps in common, and '
        || case when same = 0 then 'no path' else cast(same as varchar) || ' paths' end,
    source_a || ' ' || place_a || ' and ' || source_b || ' ' || place_b,
    'certain that they are lists of two runs'
from lists where n >= 10 and same < 0.5 * n
