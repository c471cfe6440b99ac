-- title: Steps and tokens do not fit each other
-- severity: error
-- means: The token count of a checkpoint does not follow from its step: the tokens per step change midway, or a stage does not start where the previous one ended.
-- do: Recompute the count: the tokens before the stage, plus the tokens per step of the stage times its step.

-- A stage that goes on from another begins with that one's last count, so at its own step s it must stand at last + s x (tokens a step).
with
counted as (
    select release, run, source, place, cast(step as bigint) as step, cast(tokens as bigint) as tokens
    from checkpoints where step is not null and tokens is not null
    union
    select release, run, source, min(place), cast(step as bigint), cast(tokens as bigint)
    from metrics where step is not null and tokens is not null
    group by release, run, source, cast(step as bigint), cast(tokens as bigint)
),
pairs as (
    select *, lag(step) over (partition by release, source, run order by step, tokens) as step_before,
        lag(tokens) over (partition by release, source, run order by step, tokens) as tokens_before
    from counted
),
rates as (
    select *, cast(tokens - tokens_before as double) / cast(step - step_before as double) as rate
    from pairs where step > step_before
),
usual as (
    select release, source, run, median(rate) as rate, count(*) as n, min(step_before) as first_step, max(step) as last_step
    from rates group by release, source, run
),
-- Where the rate is not the usual one.
breaks as (
    select r.release, r.run, r.source, count(*) as n, min(r.step) as step, min(r.place) as place, min(u.rate) as usual,
        min(r.rate) as least, max(r.rate) as most
    from rates r join usual u on u.release = r.release and u.source = r.source and u.run = r.run
    where u.n >= 3 and abs(r.rate - u.rate) > 1e-6 * u.rate
    group by r.release, r.run, r.source
),
-- What a run had when it began, by its usual rate.
starts as (
    select c.release, c.source, c.run, u.rate, round(min(c.tokens - u.rate * c.step)) as start, min(c.tokens) as first_tokens,
        min(c.step) as first_step, min(c.place) as place
    from counted c join usual u on u.release = c.release and u.source = c.source and u.run = c.run
    where u.n >= 3
    group by c.release, c.source, c.run, u.rate
),
ends as (select release, source, run, max(tokens) as tokens from counted group by release, source, run),
misfits as (
    select s.release, s.source, s.run, s.rate, s.start, s.first_tokens, s.first_step
    from starts s left join ends e
        on e.release = s.release and e.source = s.source and e.run <> s.run and abs(e.tokens - s.start) < s.rate
    where abs(s.start) >= s.rate and e.run is null
),
-- Labels such as step1000-tokens5B: is there one number of tokens a step that all of a run's labels round?
labels as (
    select release, run, source, place, label, cast(step as double) as step,
        try_cast(regexp_replace(label, '^.*tokens([0-9]+)B.*$', '\1') as double) * 1e9 as billions
    from checkpoints where label like '%tokens%B%' and step > 0
),
fits as (
    select release, run, count(*) as n, min(source) as source, min(label) as first, max(label) as last,
        max((billions - 1e9) / step) as ceil_low, min(billions / step) as ceil_high,
        max((billions - 5e8) / step) as round_low, min((billions + 5e8) / step) as round_high,
        max(billions / step) as floor_low, min((billions + 1e9) / step) as floor_high
    from labels where billions is not null group by release, run
)
select release, run as subject,
    'tokens a step are ' || cast(cast(round(usual) as bigint) as varchar) || ', but from ' || cast(cast(round(least) as bigint) as varchar)
        || ' to ' || cast(cast(round(most) as bigint) as varchar) || ' at ' || cast(n as varchar) || case when n = 1 then ' place' else ' places' end || ', first at step '
        || cast(step as varchar) as finding,
    source || ' ' || place as evidence,
    'certain, unless the batch size was changed on purpose' as sure
from breaks
union all
select m.release, m.run,
    'at step ' || cast(m.first_step as varchar) || ' it has ' || cast(m.first_tokens as varchar) || ' tokens, '
        || case when e.run is not null then 'what ' || e.run || ' ended with: its own first '
            || cast(cast(m.first_step * round(m.rate) as bigint) as varchar) || ' are not counted'
            else 'so began with ' || cast(cast(m.start as bigint) as varchar) || ', which no other stage ended with' end,
    c.source || ' ' || c.place,
    case when e.run is not null then 'certain: ' || cast(m.first_step as varchar) || ' steps of '
        || cast(cast(round(m.rate) as bigint) as varchar) || ' tokens cannot add none'
        else 'likely: the stage before may be in another list' end
from misfits m
join counted c on c.release = m.release and c.source = m.source and c.run = m.run and c.step = m.first_step and c.tokens = m.first_tokens
left join (select release, source, tokens, min(run) as run from ends group by release, source, tokens) e
    on e.release = m.release and e.source = m.source and e.tokens = m.first_tokens and e.run <> m.run
union all
select release, run, 'no number of tokens a step fits all its ' || cast(n as varchar) || ' labels, from ' || first || ' to ' || last,
    source, 'certain for rounding up, down and to the nearest'
from fits where n >= 2 and ceil_low > ceil_high and round_low > round_high and floor_low > floor_high
