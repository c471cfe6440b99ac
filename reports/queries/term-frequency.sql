-- question: How much better does a model multiply small numbers, which are frequent in texts, than large ones, which are rare?
-- parameter operation = 'multiplication': multiplication or addition
-- parameter shots = 16: the number of examples in the prompt

-- Of the operands 0 to 99 the ten least and the ten greatest; Pythia's evaluations have a task for each operand.
with
results as (
    select run, step, value, try_cast(regexp_replace(task, '^.*_([0-9]+)$', '\1') as bigint) as operand
    from metrics where task like 'num_reasoning_arithmetic_' || $operation || '_%' and shots = $shots
)
select run, step, avg(case when operand < 10 then value end) as often, avg(case when operand >= 90 then value end) as seldom,
    avg(case when operand < 10 then value end) - avg(case when operand >= 90 then value end) as difference,
    corr(cast(operand as double), value) as correlation
from results
group by run, step
order by run, step
