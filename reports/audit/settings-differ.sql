-- title: Settings differ between what is compared
-- severity: warning
-- means: The evaluations of one run, which are used to compare its steps, were made with different settings, task versions or evaluators.
-- do: Compare only evaluations with equal settings, or evaluate again. A batch size or device changes only the last digits; a version or the evaluator's code can change anything.

-- What names the checkpoint, or the job that made the file, is left out; of a device its number is.
with
-- The run of a file, and the examples in its prompts as its directory says.
files as (
    select release, source, min(run) as run,
        case when source like '%five-shot/%' then 'five-shot' when source like '%zero-shot/%' then 'zero-shot' else '' end as shots
    from metrics group by release, source
),
settings as (
    select c.release, f.run, f.shots, c.name,
        case when c.name = 'config.device' then regexp_replace(c.value, ':[0-9]+$', '')
            -- Of arguments as one text, what names the checkpoint is left out.
            when c.name = 'config.model_args' then regexp_replace(regexp_replace(c.value, '(^|,)pretrained=[^,]*', ''), '(^|,)revision=[^,]*', '')
            else c.value end as value, c.source, c.place
    from claims c join files f on f.release = c.release and f.source = c.source
    where (c.name like 'config.%' or c.name like 'versions.%') and c.value <> 'null'
        and c.name not in ('config.model_args.iteration', 'config.model_args.revision', 'config.model_args.pretrained',
            'config.model_args.eval_results_prefix', 'config.model_args.save', 'config.model_args.user_script', 'config.num_fewshot')
        and c.name not like '%wandb%' and c.name not like 'config.model_args.master%'
        and c.name not like 'config.model_args.config_files%' and c.name not like 'config.model_args.eval_tasks%' and c.name not like 'config.model_args.save_iters%'
        and c.name not like 'config.model_args.%_dir' and c.name not like 'config.model_args.hostfile%'
),
counts as (
    select release, run, shots, name, value, count(*) as n, min(source) as source, min(place) as place
    from settings group by release, run, shots, name, value
),
differing as (
    select release, run, shots, name, count(*) as d, max(n) as most, sum(n) as n from counts
    group by release, run, shots, name having count(*) > 1
),
rare as (
    select c.release, c.run, c.shots, c.name, c.value, c.n, c.source, c.place,
        row_number() over (partition by c.release, c.run, c.shots, c.name order by c.n, c.value) as nth,
        row_number() over (partition by c.release, c.run, c.shots, c.name order by c.n desc, c.value desc) as last
    from counts c join differing d on d.release = c.release and d.run = c.run and d.shots = c.shots and d.name = c.name
),
found as (
    select d.release, d.run, d.name, d.d, d.n, a.value as rarest, a.n as rare_n, a.source, a.place, z.value as usual, z.n as usual_n
    from differing d
    join rare a on a.release = d.release and a.run = d.run and a.shots = d.shots and a.name = d.name and a.nth = 1
    join rare z on z.release = d.release and z.run = d.run and z.shots = d.shots and z.name = d.name and z.last = 1
)
select release, run as subject,
    name || ' is ' || rarest || ' in ' || cast(rare_n as varchar) || ' files, ' || usual || ' in ' || cast(usual_n as varchar)
        || case when d > 2 then ', and ' || cast(d - 2 as varchar) || ' more' else '' end as finding,
    source || ' ' || place as evidence,
    'certain that they differ; the evaluator''s code or a version may change any result' as sure
from found where name not in ('config.batch_size', 'config.device', 'config.model_args')
union all
select release, cast(count(distinct run) as varchar) || ' runs, the first is ' || min(run),
    name || ' differs between the evaluations of a run, as "' || min(rarest) || '" and "' || max(usual) || '"',
    min(source) || ' ' || min(place),
    case when name = 'config.model_args' then 'certain that they differ; how a model is loaded may change its type of number, and so its results'
        else 'certain that they differ; it changes the last digits at most' end
from found where name in ('config.batch_size', 'config.device', 'config.model_args')
group by release, name
