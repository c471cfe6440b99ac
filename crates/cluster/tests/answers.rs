//! A cluster's answers compared with those of a single process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use retrace_cluster::{Offer, connect, scheduler, worker};
use retrace_query::functions;
use retrace_sign::Token;
use retrace_spec::Step;
use retrace_tables::{Metric, TrainLog};

const QUERIES: [&str; 21] = [
    "select sum(value) as s, avg(value) as a, stddev(value) as d, corr(value, step) as c from metrics",
    "select run, task, sum(value) as s, count(*) as n from metrics group by run, task",
    "select task, kendall(step, value) as k, log_slope(value, step) as l from metrics group by task",
    "select run, step, ema(value, 0.1) over (partition by run, task order by step) as e from metrics limit 20",
    "select a.task, paired_bootstrap(a.value, b.value) as p from metrics a join metrics b using (step, task) where a.run = 'r0' and b.run = 'r1' group by a.task",
    "select * from metrics where step < 40 order by task limit 25",
    "select run, ema(value, 0.1) over (partition by run order by step) as e from metrics where tokens is not null",
    "select run, rank() over (partition by run order by step) as r, ema(value, 0.1) over (partition by run, task order by step) as e from metrics where run = 'r1'",
    "select step, sum(value) over (partition by run) as s from metrics where run = 'r1' and step < 5",
    "select sum(value) over (partition by run order by task, step) as s from metrics where run = 'nothing'",
    "select run, task, lag(value) over w as l, rank() over w as r from metrics where step < 9 window w as (partition by run order by step)",
    // The numbers of a run's losses are equal, or some of its row groups and files have only small ones beside NaN.
    "select run, step, loss, grad_norm from train_log",
    "select run, step from train_log where loss > 100",
    "select run, step from train_log where loss = 'NaN' and step > 3",
    "select run, step, loss from train_log order by loss desc limit 4",
    "select run, count(*) as n, min(loss) as least, max(loss) as most, avg(loss) as mean from train_log where not (loss < 3) group by run",
    "select min(loss) as least, max(loss) as most, count(loss) as n from train_log",
    "select percentile_cont(1) within group (order by loss) as most, median(loss) as m from train_log",
    "select a.run, a.step from train_log a join train_log b on a.loss = b.loss and a.run <> b.run where b.step = 2",
    "select run, step, max(loss) over (partition by run order by step rows between 1 preceding and current row) as m from train_log",
    "select loss, count(*) as n from train_log group by loss",
];

/// Losses with NaN of both signs, which statistics leave out; one directory a run.
fn write_losses(directory: &Path) {
    let log = |run: &str, step: u64, loss: f64| TrainLog {
        release: "r".to_owned(),
        run: run.to_owned(),
        step: Step(step),
        tokens: None,
        phase: None,
        learning_rate: None,
        loss: Some(loss),
        time: None,
        grad_norm: (step > 1).then_some(-loss),
        source: "s".to_owned(),
        place: String::new(),
    };
    let losses = [("one", vec![2.5, f64::NAN, 2.5, -f64::NAN]), ("two", vec![1.0, f64::NAN, 2.0, 1000.0, 3.0])];
    for (run, losses) in losses {
        let rows: Vec<TrainLog> = (1..).zip(losses).map(|(step, loss)| log(run, step, loss)).collect();
        retrace_tables::write(&directory.join(run), &rows).unwrap();
        std::fs::rename(directory.join(run).join("train_log.parquet"), directory.join(format!("{run}.parquet")))
            .unwrap();
        std::fs::remove_dir(directory.join(run)).unwrap();
    }
}

/// Rows whose sums would depend on their order with ordinary float addition.
fn write(directory: &Path) {
    for file in 0..6u64 {
        let rows: Vec<Metric> = (0..400u64)
            .map(|i| Metric {
                release: "r".to_owned(),
                run: format!("r{}", i % 3),
                step: Some(Step(i / 3 + file * 200)),
                tokens: None,
                task: format!("t{}", file % 3),
                shots: None,
                metric: "m".to_owned(),
                value: ((i * 7919 + file) as f64).sin() * 10f64.powi((i % 31) as i32 - 15),
                stderr: None,
                source: "s".to_owned(),
                place: String::new(),
                is_group: None,
                time: None,
            })
            .collect();
        retrace_tables::write(&directory.join(file.to_string()), &rows).unwrap();
        let name = directory.join(file.to_string()).join("metrics.parquet");
        std::fs::rename(name, directory.join(format!("{file}.parquet"))).unwrap();
        std::fs::remove_dir(directory.join(file.to_string())).unwrap();
    }
}

async fn answers(context: &SessionContext, of: &Path) -> Vec<String> {
    for (table, directory) in [("metrics", "metrics"), ("train_log", "losses")] {
        let path = of.join(directory);
        context.register_parquet(table, path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    }
    let mut all = Vec::new();
    for sql in QUERIES {
        let rows = context.sql(sql).await.expect(sql).collect().await.expect(sql);
        all.push(pretty_format_batches(&rows).unwrap().to_string());
    }
    all
}

#[test]
fn a_cluster_answers_as_one_process_does() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("metrics"));
    write_losses(&directory.path().join("losses"));
    let token: Token = "0123456789abcdef".parse().unwrap();
    let (tell, told) = mpsc::channel();
    let held = token.clone();
    thread::spawn(move || scheduler("127.0.0.1:0", &held, |address| tell.send(address).unwrap()).unwrap());
    let address = told.recv().unwrap().to_string();
    let (tell, told) = mpsc::channel();
    for _ in 0..2 {
        let (address, token, tell) = (address.clone(), token.clone(), tell.clone());
        let offer = Offer { host: "127.0.0.1".parse().unwrap(), tasks: 2 };
        thread::spawn(move || worker(&address, &token, &offer, |at| tell.send(at).unwrap()).unwrap());
    }
    for _ in 0..2 {
        told.recv().unwrap();
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let alone = functions::state(SessionConfig::new().with_target_partitions(1)).unwrap();
    let expected = runtime.block_on(answers(&SessionContext::new_with_state(alone), directory.path()));
    assert!(
        expected[11].contains("| one | 2    | NaN ") && expected[11].contains("| one | 4    | NaN "),
        "{}",
        expected[11]
    );
    assert_eq!(expected[12].matches("| one ").count() + expected[12].matches("| two ").count(), 4, "{}", expected[12]);
    for partitions in [1, 5] {
        let context = connect(&address, &token, |config| config.with_target_partitions(partitions)).unwrap();
        assert_eq!(runtime.block_on(answers(&context, directory.path())), expected, "{partitions} partitions");
    }
    // Another token: both a query and a worker are refused.
    let other: Token = "fedcba9876543210".parse().unwrap();
    let refused = connect(&address, &other, |config| config).err().unwrap().to_string();
    assert!(refused.contains("token"), "{refused}");
    let offer = Offer { host: "127.0.0.1".parse().unwrap(), tasks: 1 };
    let refused = worker(&address, &other, &offer, |_| ()).unwrap_err().to_string();
    assert!(refused.contains("token"), "{refused}");
}
