-- question: What are the final results of the 13B model with which the predictions of the OLMo ladder are compared?
-- parameter run = 'peteish13_eval_final': the end of the run's name
-- parameter last = 5: the number of last evaluations to average over

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
