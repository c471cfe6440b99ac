-- question: How much do a task's loss and accuracy move over the last evaluations of one run, as measured in the paper on the OLMo ladder?
-- parameter run = 'ladder-runs/1B-10xC': the end of the run's name
-- parameter last = 10: the number of last evaluations

-- The paper's figures/variance.csv takes the last 10 of 1B-10xC, and the deviation of the population.
with
final as (
    select task, metric, value,
        dense_rank() over (partition by run, task, metric order by step desc) as nth
    from metrics where run like '%' || $run and metric in ('downstream_bpb', 'downstream')
)
select task, metric, count(*) as evaluations, avg(value) as mean, stddev_pop(value) as sd, stddev_pop(value) / avg(value) as relative_sd
from final where nth <= $last
group by task, metric
order by metric, task
