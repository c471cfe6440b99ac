-- question: What does the 13B model of the OLMo ladder measure at its end, by which the ladder's predictions are judged?
-- parameter run = 'peteish13_eval_final': the run; what the name ends with
-- parameter last = 5: over how many of its last evaluations the value is averaged

-- The paper's figures/step1_main.csv and step2_main.csv give these as "Actual".
with
final as (
    select task, metric, value,
        dense_rank() over (partition by run, task, metric order by step desc) as nth
    from metrics where run like '%' || $run and (metric in ('downstream_bpb', 'downstream') or task = 'c4_en-validation')
)
select task, metric, count(*) as evaluations, avg(value) as actual
from final where nth <= $last
group by task, metric
order by metric, task
