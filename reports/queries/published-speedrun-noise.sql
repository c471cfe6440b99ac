-- question: How much do the final losses of runs of the same code differ, and are they below the target of the speed run?
-- parameter mark = 3.28: the target that the mean loss must be below
-- parameter least = 20: the smallest number of runs of a group

-- t is that of a one-sided test of the mean against the mark. One log in two folders counts once.
with
runs as (
    select subject as run, max(case when name = 'record' then value end) as record, max(case when name = 'code_sha256' then value end) as code,
        max(case when name = 'blob' then value end) as blob, max(case when name = 'final_val_loss' then number end) as loss,
        max(case when name = 'final_train_time_ms' then number end) / 1000 as seconds
    from claims group by subject
),
distinct_runs as (select distinct record, code, blob, loss, seconds from runs where code is not null and loss is not null)
select record, code, count(*) as runs, avg(loss) as mean, stddev_samp(loss) as sd, avg(seconds) as mean_seconds, stddev_samp(seconds) as sd_seconds,
    (avg(loss) - $mark) / (stddev_samp(loss) / sqrt(cast(count(*) as double))) as t
from distinct_runs
group by record, code having count(*) >= $least
order by runs desc, record
