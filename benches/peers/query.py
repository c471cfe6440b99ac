"""Fifteen named queries over ten million rows: retrace beside DuckDB, with the same threads.

    query.py RETRACE TABLES... --rows 10000000 --threads 2 --rounds 3

TABLES are directories of tables that `retrace import` made (metrics.parquet, train_log.parquet). Their
rows are repeated, each time as runs of other names, until there are enough. DuckDB is asked the same
questions in its own SQL, in this process, and its answer is dropped; retrace is started anew for each
query, and its answer goes to /dev/null. Each time includes reading the Parquet file.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

# By name: the parameters that retrace is given, and DuckDB's SQL.
QUERIES = {
    "best-checkpoint": ([], """
        select release, run, shots, mean, tasks, step from (
          select *, row_number() over (partition by release, run, shots order by tasks desc, mean desc, step) as place from (
            select release, run, shots, step, count(distinct task) as tasks, avg(value) as mean from metrics
            where metric = 'acc' and step is not null group by release, run, shots, step having not isnan(avg(value))))
        where place = 1 order by release, run, shots"""),
    "eval-coverage": ([], """
        with tasks as (select distinct release, run, task, shots from metrics where step is not null),
        steps as (select distinct release, run, step from metrics where step is not null)
        select tasks.release, tasks.run, tasks.task, tasks.shots, count(*) as missing_at, min(steps.step), max(steps.step)
        from tasks join steps on tasks.release = steps.release and tasks.run = steps.run
        where not exists (
          select 1 from metrics as there
          where there.release = tasks.release and there.run = tasks.run and there.task = tasks.task
            and there.shots is not distinct from tasks.shots and there.step = steps.step)
        group by all order by missing_at desc, 1, 2, 3, 4"""),
    "forgetting": ([], """
        select * from (select release, run, task, shots, max(value) as peak, max(value) - arg_max(value, step) as lost
          from metrics where metric = 'acc' and step is not null group by all)
        where lost >= 0 order by lost desc, 1, 2, 3, 4"""),
    "greatest-drops": ([], """
        select release, run, task, shots, step_before, step, value_before, value, value - value_before as change,
          (value - value_before) / sqrt(stderr * stderr + stderr_before * stderr_before) as deviations
        from (select *, lag(step) over w as step_before, lag(value) over w as value_before, lag(stderr) over w as stderr_before
          from metrics where metric = 'acc' and step is not null window w as (partition by release, run, task, shots order by step))
        where value < value_before and not isnan(value) and not isnan(value_before) order by change, 1, 2, 3, 4, 6 limit 20"""),
    "seed-noise": ([], """
        select release, task, shots, step, stddev(value), avg(stderr), max(value) - min(value), avg(value), count(*)
        from metrics where metric = 'acc' and run like '%' group by release, task, shots, step
        having count(distinct run) > 1 order by 1, 2, 3, 4"""),
    "shots-difference": ([], """
        select b.release, b.run, b.task, b.step, b.tokens, a.value, b.value, a.value - b.value
        from metrics a join metrics b on a.release = b.release and a.run = b.run and a.task = b.task and a.metric = b.metric
          and a.step is not distinct from b.step
        where a.shots = 5 and b.shots = 0 and a.metric = 'acc' order by 1, 2, 3, 4"""),
    "runs-differ": (["a={a}", "b={b}"], """
        select x.task, x.shots, x.step, x.value, x.stderr, y.value, y.stderr, x.value - y.value,
          abs(x.value - y.value) > 1.959963984540054 * sqrt(x.stderr * x.stderr + y.stderr * y.stderr) as differs
        from metrics x join metrics y on x.task = y.task and x.metric = y.metric and x.step is not distinct from y.step
          and x.shots is not distinct from y.shots
        where x.run = '{a}' and y.run = '{b}' and x.metric = 'acc' order by differs desc, abs(x.value - y.value) desc, 1, 2, 3"""),
    "emergence": ([], """
        select release, run, task, shots,
          min(step) filter (step > coalesce(below, -1)), min(step), max(step), max(value)
        from (select *, max(case when value < 0.3 then cast(step as bigint) end) over (partition by release, run, task, shots) as below
          from metrics where metric = 'acc' and step is not null)
        group by release, run, task, shots order by 1, 2, 3, 4"""),
    "tokens-to-threshold": (["task=arc_easy_val_rc_5shot_bpb", "metric=downstream_bpb"], """
        select release, run, shots, min(tokens) filter (tokens > coalesce(below, -1)) as reached, max(value)
        from (select *, max(case when value < 0.5 then cast(tokens as bigint) end) over (partition by release, run, shots) as below
          from metrics where metric = 'downstream_bpb' and task = 'arc_easy_val_rc_5shot_bpb' and tokens is not null)
        group by release, run, shots order by reached, 1, 2, 3"""),
    "slope": (["metric=downstream_bpb"], """
        select release, run, task, shots, regr_slope(value, ln(tokens)) as slope, regr_slope(value, ln(tokens)) * ln(2), count(*)
        from metrics where metric = 'downstream_bpb' and tokens > 0 group by release, run, task, shots
        having count(*) > 2 order by slope desc, 1, 2, 3, 4"""),
    "interpolated": (["metric=downstream_bpb", "tokens=5000000000"], """
        select release, run, task, shots,
          v0 + (v1 - v0) * case when t1 = t0 then 0 else (5000000000 - t0) / (t1 - t0) end as value
        from (select release, run, task, shots,
            arg_max(value, tokens) filter (tokens <= 5000000000) as v0, cast(max(tokens) filter (tokens <= 5000000000) as double) as t0,
            arg_min(value, tokens) filter (tokens >= 5000000000) as v1, cast(min(tokens) filter (tokens >= 5000000000) as double) as t1
          from metrics where metric = 'downstream_bpb' and tokens is not null group by release, run, task, shots)
        order by 3, 4, value desc, 1, 2"""),
    "learning-curve": (["metric=downstream_bpb", "task=arc_easy_val_rc_5shot_bpb"], """
        select tokens, step, release, run, task, shots, value, stderr from metrics
        where metric = 'downstream_bpb' and task = 'arc_easy_val_rc_5shot_bpb' and tokens is not null order by 3, 4, 5, 6, 1"""),
    "spikes": ([], """
        select release, run, step, tokens, loss, grad_norm, place from (
          select *, avg(loss) over w as mean, stddev_samp(loss) over w as sd from train_log where loss is not null
          window w as (partition by release, run order by step rows between 100 preceding and 1 preceding))
        where loss > mean + 6 * sd order by 1, 2, 3"""),
    "tokens-per-step": ([], """
        select release, run, tps, count(*), min(step) as first, max(step) from (
          select release, run, step, (cast(tokens as double) - lag(tokens) over w) / (cast(step as double) - lag(step) over w) as tps
          from train_log where tokens is not null window w as (partition by release, run order by step))
        where tps is not null group by release, run, tps order by release, run, first"""),
    "published-ladder-noise": ([], """
        with final as (select task, metric, value, dense_rank() over (partition by run, task, metric order by step desc) as nth
          from metrics where run like '%ladder-runs/1B-10xC' and metric in ('downstream_bpb', 'downstream'))
        select task, metric, count(*), avg(value), stddev_pop(value), stddev_pop(value) / avg(value) from final where nth <= 10
        group by task, metric order by metric, task"""),
}


def repeat(source, table, rows, path):
    """Writes the rows of `table`, repeated as runs of other names, to `path`; gives how many."""
    files = [str(Path(d) / f"{table}.parquet") for d in source if (Path(d) / f"{table}.parquet").exists()]
    count = duckdb.sql(f"select count(*) from read_parquet({files}, union_by_name = true)").fetchall()[0][0]
    times = max(1, rows // count)
    duckdb.execute(
        f"copy (select * replace (case when i = 0 then run else i || '/' || run end as run) "
        f"from read_parquet({files}, union_by_name = true), range({times}) as r(i)) to '{path}' (format parquet)"
    )
    return count * times


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("retrace")
    arguments.add_argument("tables", nargs="+")
    arguments.add_argument("--rows", type=int, default=10_000_000)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        made = [(t, repeat(given.tables, t, given.rows, f"{directory}/{t}.parquet")) for t in ("metrics", "train_log")]
        print(", ".join(f"{rows} rows of {table}" for table, rows in made), f"; {given.threads} threads; DuckDB {duckdb.__version__}")
        runs = duckdb.sql(
            f"select run from '{directory}/metrics.parquet' where metric = 'acc' group by run order by count(*) desc, run limit 2"
        ).fetchall()
        names = {"a": runs[0][0], "b": runs[1][0]}
        totals = [0.0, 0.0]
        print(f"{'':24} retrace s  DuckDB s  retrace / DuckDB")
        for name, (parameters, sql) in QUERIES.items():
            ours, theirs = [], []
            for _ in range(given.rounds):
                sets = [word for p in parameters for word in ("--set", p.format(**names))]
                began = time.perf_counter()
                subprocess.run(
                    [given.retrace, "query", f"@{name}", directory, "--format", "csv", "--quiet", "--threads", str(given.threads), *sets],
                    check=True, stdout=subprocess.DEVNULL,
                )
                ours.append(time.perf_counter() - began)
                began = time.perf_counter()
                connection = duckdb.connect()
                connection.execute(f"set threads = {given.threads}")
                for table in ("metrics", "train_log"):
                    connection.execute(f"create view {table} as select * from '{directory}/{table}.parquet'")
                connection.execute(f"copy ({sql.format(**names)}) to '/dev/null' (format csv)")
                theirs.append(time.perf_counter() - began)
            pair = statistics.median(ours), statistics.median(theirs)
            totals = [total + seconds for total, seconds in zip(totals, pair)]
            print(f"{name:24} {pair[0]:9.2f} {pair[1]:9.2f} {pair[0] / pair[1]:17.2f}", flush=True)
        print(f"{'all':24} {totals[0]:9.2f} {totals[1]:9.2f} {totals[0] / totals[1]:17.2f}")


if __name__ == "__main__":
    sys.exit(main())
