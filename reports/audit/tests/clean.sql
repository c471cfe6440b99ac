-- A release in which nothing is wrong: no rule may find anything. Three runs, 24 steps, 60 tasks of 5000 items, and a loss.
-- Each other file here replaces one table by one with a mistake: its first lines say which rule must find it, and where.
-- Statements end with a semicolon at the end of a line; numbers come from sines, so they look random and never change.
create or replace view clean_metrics as
with results as (
    select r.n as r, s.n as s, t.n as t,
        floor(2000 + 1000.0 * s.n / (s.n + 4.0) + 120 * sin(7.1 * r.n + 3.7 * s.n * s.n + 1.3 * t.n * t.n + r.n * s.n * t.n) + 25 * t.n) as k
    from generate_series(1, 3) as r(n) cross join generate_series(1, 24) as s(n) cross join generate_series(1, 60) as t(n)
)
select 'release' as release, 'model-' || cast(r as varchar) || 'm' as run, cast(1000 * s as bigint) as step, cast(null as bigint) as tokens,
    'task' || cast(t as varchar) as task, cast(0 as bigint) as shots, 'acc' as metric, k / 5000.0 as value,
    sqrt(k / 5000.0 * (1 - k / 5000.0) / 4999.0) as stderr,
    'model-' || cast(r as varchar) || 'm/zero-shot/step' || cast(1000 * s as varchar) || '.json' as source,
    '/results/task' || cast(t as varchar) || '/acc' as place
from results
union all
select 'release', 'model-' || cast(r.n as varchar) || 'm', cast(1000 * s.n as bigint), cast(null as bigint), 'text', cast(0 as bigint), 'loss',
    2.0 + 1.0 / r.n + 3.0 / s.n + 0.01 * sin(2.9 * r.n + 5.3 * s.n * s.n), cast(null as double),
    'model-' || cast(r.n as varchar) || 'm/zero-shot/step' || cast(1000 * s.n as varchar) || '.json', '/results/text/loss'
from generate_series(1, 3) as r(n) cross join generate_series(1, 24) as s(n);

create or replace view clean_claims as
select 'release' as release, run as subject, c.name, replace(replace(c.value, '$STEP', cast(step as varchar)), '$RUN', run) as value,
    try_cast(replace(c.value, '$STEP', cast(step as varchar)) as double) as number, source, c.place
from (select distinct run, step, source from clean_metrics) as files
cross join (values ('config.num_fewshot', '0', '/config/num_fewshot'),
    ('config.batch_size', '32', '/config/batch_size'), ('config.device', 'cuda:0', '/config/device'), ('versions.task1', '1', '/versions/task1'),
    ('config.model_args', 'pretrained=maker/$RUN,revision=step$STEP', '/config/model_args'),
    ('config.model_args.git_hash', 'abc', '/config/model_args/git_hash')) as c(name, value, place)
union all
select 'release', subject, name, value, try_cast(value as double), source, place from (values
    ('[Model 1](link)', 'Training Tokens', '0.10 Trillion', 'README.md', 'line 3'),
    ('[Model 1](link)', 'List', '[list](https://example.org/blob/main/lists/Model-0101-1.csv)', 'README.md', 'line 4'),
    ('model-1m', 'padded_vocab_size', '1024', 'config.json', '/padded_vocab_size'), ('model-1m', 'vocab_size', '1000', 'config.json', '/vocab_size'),
    ('model-1m', 'make_vocab_size_divisible_by', '128', 'config.json', '/make_vocab_size_divisible_by'),
    ('model-1m', 'model_parallel_size', '1', 'config.json', '/model_parallel_size'), ('model-1m', 'hidden_size', '64', 'config.json', '/hidden_size'),
    ('model-1m', 'num_attention_heads', '8', 'config.json', '/num_attention_heads'),
    ('model-1m', 'tokenizer.vocab_size', '1000', 'tokenizer.json', '/model/vocab'),
    ('model-1m', 'hyperparameters.lr', '0.003', 'run.json', '/hyperparameters/lr'), ('model-1m', 'args.0', '--lr', 'run.json', '/args/0'),
    ('model-1m', 'run_args.0', '--lr', 'run.json', '/run_args/0'), ('model-1m', 'run_args.1', '0.003', 'run.json', '/run_args/1'),
    ('model-1m', 'run_args.2', '--wd', 'run.json', '/run_args/2'), ('model-1m', 'run_args.3', '0.1', 'run.json', '/run_args/3'),
    ('model-1m', 'uuid', 'aaaa', 'run.json', '/uuid'), ('model-2m', 'uuid', 'bbbb', 'run2.json', '/uuid'),
    ('model-1m', 'blob', 'c0ffee', 'runs.csv', 'line 2'), ('model-2m', 'blob', 'decade', 'runs.csv', 'line 3'),
    ('parts', 'dataset.web', 'https://example.org/web/part-00-00000.csv.gz', 'parts.csv', 'line 2'),
    ('parts', 'dataset.web', 'https://example.org/web/part-01-00000.csv.gz', 'parts.csv', 'line 3'),
    ('parts', 'dataset.web', 'https://example.org/web/part-02-00000.csv.gz', 'parts.csv', 'line 4')) as c(subject, name, value, source, place)
union all
select 'release', run, 'final_loss', cast(value as varchar) as text, value as number, 'summary.csv', 'line 2' from clean_metrics where metric = 'loss' and step = 24000;

-- Two stages of 24 and 12 checkpoints; the second goes on from the first, and has half as many tokens a step.
create or replace view clean_checkpoints as
select 'release' as release, 'Model-0101-1/stage1' as run, 'step' || cast(1000 * n as varchar) as label, cast(1000 * n as bigint) as step,
    cast(4194304000 * n as bigint) as tokens, cast(null as bigint) as parameters, 'https://example.org/stage1/step' || cast(1000 * n as varchar) || '/' as path,
    'state-1-' || cast(n as varchar) as state, 'lists/Model-0101-1.csv' as source, 'line ' || cast(n + 1 as varchar) as place
from generate_series(1, 24) as s(n)
union all
select 'release', 'Model-0101-1/stage2', 'step' || cast(1000 * n as varchar), cast(1000 * n as bigint), cast(4194304000 * 24 + 2097152000 * n as bigint),
    cast(null as bigint), 'https://example.org/stage2/step' || cast(1000 * n as varchar) || '/', 'state-2-' || cast(n as varchar), 'lists/Model-0101-1.csv',
    'line ' || cast(n + 25 as varchar)
from generate_series(1, 12) as s(n)
union all
select 'release', 'hub', 'step' || cast(1000 * n as varchar) || '-tokens' || cast(cast(ceil(4.194304 * n) as bigint) as varchar) || 'B', cast(1000 * n as bigint), cast(null as bigint),
    cast(null as bigint), 'hub/' || cast(n as varchar), 'state-3-' || cast(n as varchar), 'hub.csv', 'line ' || cast(n + 1 as varchar)
from generate_series(1, 24) as s(n);

create or replace view clean_train_log as
select 'release' as release, 'model-1m' as run, cast(n as bigint) as step, cast(null as bigint) as tokens, cast(null as varchar) as phase, 0.001 as learning_rate,
    2.0 + 3.0 / n as loss, 1.0 as grad_norm, 'log.txt' as source, 'line ' || cast(n as varchar) as place
from generate_series(1, 24) as s(n);

create or replace view clean_tensors as
select 'model-1m' as run, 'checkpoint-' || cast(1000 * s.n as varchar) as checkpoint, cast(1000 * s.n as bigint) as step,
    case when t.n = 1 then 'embed_tokens.weight' else 'layer.' || cast(t.n as varchar) || '.weight' end as tensor, 'F32' as dtype,
    case when t.n = 1 then '[1024, 64]' else '[64, 64]' end as shape, cast(4096 as bigint) as elements, cast(0 as bigint) as non_finite,
    10.0 + t.n + s.n * 0.1 + 0.02 * sin(3.1 * s.n * s.n + t.n) as norm, 0.0 as mean, 0.1 as std, -1.0 as min, 1.0 as max, 3.0 as kurtosis, 2.0 as stable_rank,
    0.5 as distance_to_previous, 0.99 as cosine_to_previous, 1.0 as distance_to_first, 0.9 as cosine_to_first,
    'digest-' || cast(s.n as varchar) || '-' || cast(t.n as varchar) as digest
from generate_series(1, 24) as s(n) cross join generate_series(1, 12) as t(n);

create or replace view clean_sources as
select distinct 'release' as release, source, 'digest of ' || source as digest, cast(1000 as bigint) as size, 'lm-eval' as kind, cast(25 as bigint) as rows,
    cast(null as varchar) as problem
from clean_metrics
union all
select 'release', source, 'digest of ' || source, cast(1000 as bigint), kind, cast(25 as bigint), cast(null as varchar)
from (values ('lists/Model-0101-1.csv', 'checkpoint-list'), ('README.md', 'readme'), ('hub.csv', 'checkpoint-list')) as f(source, kind);

create or replace view clean_averages as
select 'release' as release, 'model-1m' as subject, 'layer.1.weight' as tensor, 'ingredient1, ingredient2' as of, 0.001 as distance, 10.0 as norm,
    0.001953125 as unit, 'soup' as source, 'layer.1.weight' as place;

create or replace view clean_graph as
select 'release' as release, 'cycle' as rule, 'a' as path, 'finding' as finding, 'manifest.json' as source where 1 = 0;

-- The latest of two manifests.
create or replace view clean_manifests as select 'release' as release, 'b3:bb' as root, 'manifest.yaml' as source;
create or replace view "known-roots" as select 'release' as release, n.place, n.root, n.seen, 'known-roots.yaml' as source
from (values (1, 'b3:aa', null), (2, 'b3:bb', 'today, https://example.org')) as n(place, root, seen);

create or replace view metrics as select * from clean_metrics;
create or replace view claims as select * from clean_claims;
create or replace view checkpoints as select * from clean_checkpoints;
create or replace view train_log as select * from clean_train_log;
create or replace view tensors as select * from clean_tensors;
create or replace view sources as select * from clean_sources;
create or replace view averages as select * from clean_averages;
create or replace view graph as select * from clean_graph;
create or replace view manifests as select * from clean_manifests;
