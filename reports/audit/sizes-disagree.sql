-- title: Sizes of the tokenizer and of the embedding disagree
-- severity: error
-- means: A model has fewer embedding rows than the tokenizer has tokens, a padded size that does not follow its own rule, or a width that is not divisible by its heads.
-- do: Check config.json against the weights and the tokenizer; a token without a row fails, or uses the row of another.

with
numbers as (
    select release, subject, source, place, number,
        case when name like '%padded_vocab_size' then 'padded' when name like '%make_vocab_size_divisible_by' then 'divisor'
            when name like '%model_parallel_size' then 'parallel' when name like 'tokenizer%vocab_size' then 'tokens'
            when name like '%hidden_size' then 'width' when name like '%num_attention_heads' then 'heads'
            when name like '%vocab_size' then 'vocabulary' end as what
    from claims where number is not null and (name like '%vocab_size%' or name like '%model_parallel_size' or name like '%hidden_size'
        or name like '%num_attention_heads')
),
-- One row a file: within one file the numbers are of one model.
models as (
    select release, subject, source, max(case when what = 'padded' then number end) as padded,
        max(case when what = 'divisor' then number end) as divisor, max(case when what = 'parallel' then number end) as parallel,
        max(case when what = 'width' then number end) as width, max(case when what = 'heads' then number end) as heads,
        max(case when what = 'vocabulary' then number end) as vocabulary, min(place) as place
    from numbers group by release, subject, source
),
tokenizers as (
    select release, subject, max(number) as tokens, min(source) as source, min(place) as place from numbers where what = 'tokens'
    group by release, subject
),
-- A matrix by its first dimension: [rows, width].
embeddings as (
    select run, checkpoint, tensor, shape,
        try_cast(regexp_replace(shape, '^\[([0-9]+), *[0-9]+\]$', '\1') as bigint) as n_rows
    from tensors where tensor like '%embed%' or tensor like '%wte%' or tensor like '%lm_head%' or tensor like 'output.weight'
)
select release, subject, 'its padded vocabulary ' || cast(cast(padded as bigint) as varchar) || ' is no multiple of '
        || cast(cast(divisor * parallel as bigint) as varchar) || ', as its configuration says' as finding,
    min(source) || ' ' || min(place) as evidence, 'certain' as sure
from models where padded is not null and divisor > 0 and parallel > 0
    and padded <> divisor * parallel * round(padded / (divisor * parallel))
group by release, subject, padded, divisor, parallel
union all
select release, subject, 'its width ' || cast(cast(width as bigint) as varchar) || ' is no multiple of its ' || cast(cast(heads as bigint) as varchar) || ' heads',
    min(source) || ' ' || min(place), 'likely: a head may have its own width'
from models where width > 0 and heads > 0 and width <> heads * round(width / heads) group by release, subject, width, heads
union all
select m.release, m.subject, 'its tokenizer has ' || cast(cast(t.tokens as bigint) as varchar) || ' tokens, its configuration '
        || cast(cast(m.vocabulary as bigint) as varchar), m.source || ' ' || m.place || ', ' || t.source || ' ' || t.place,
    'certain: tokens without a row'
from models m join tokenizers t on t.release = m.release and t.subject = m.subject where m.vocabulary < t.tokens
union all
select '' as release, e.run || ' ' || e.checkpoint, e.tensor || ' has ' || cast(e.n_rows as varchar) || ' rows for '
        || cast(cast(t.tokens as bigint) as varchar) || ' tokens', 'tensors: ' || e.checkpoint || ' ' || e.tensor || ' ' || e.shape,
    'certain: tokens without a row'
from embeddings e join tokenizers t on t.subject = e.run where e.n_rows < t.tokens
