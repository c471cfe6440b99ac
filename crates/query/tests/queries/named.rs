//! Named queries: their files, their parameters, and their answers, computed by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retrace_query::{Format, Literal, NamedQuery, Options, QueryError, Session};
use retrace_spec::{Digest, Step, Tokens};
use retrace_tables::{Checkpoint, Exposure, Metric, Sample, Tensor, TrainLog};

use crate::{contamination, metric};

fn given(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn named(name: &str) -> NamedQuery {
    NamedQuery::find(&NamedQuery::embedded().unwrap(), name).unwrap().clone()
}

fn ask(session: &Session, name: &str, values: &[(&str, &str)]) -> String {
    let answer = session.ask(&named(name), &given(values)).unwrap_or_else(|e| panic!("@{name}: {e}"));
    String::from_utf8(answer.write(Format::Csv).unwrap()).unwrap()
}

#[test]
fn a_query_says_what_it_asks_and_what_it_can_be_told() {
    let text = "-- question: Which one,\n--   and why?\n-- parameter task: the task\n-- parameter few = 5: how many\n\
                -- parameter share = 0.5: of all\n-- parameter run = null: a run\n-- parameter like = 'it''s %': a name\nselect 1";
    let query = NamedQuery::parse("which", text, "which.sql").unwrap();
    assert_eq!(query.question, "Which one, and why?");
    let defaults: Vec<Option<Literal>> = query.parameters.iter().map(|parameter| parameter.default.clone()).collect();
    let like = Literal::Text(Some("it's %".to_owned()));
    assert_eq!(
        defaults,
        [None, Some(Literal::Whole(5)), Some(Literal::Number(0.5)), Some(Literal::Text(None)), Some(like)]
    );
    for (text, says) in [
        ("select 1", "`-- question: …` is missing"),
        ("", "`-- question: …` is missing"),
        ("-- question: a\n-- question: b\nselect 1", "line 2"),
        ("-- question: a\n-- why: b\nselect 1", "why"),
        ("-- question: a\n-- parameter x = five: b\nselect 1", "five is not a valid default"),
        ("-- question: a\n-- parameter x = NaN: b\nselect 1", "NaN is not a valid default"),
        ("-- question: a\n-- parameter x: b\n-- parameter x: c\nselect 1", "duplicate parameter"),
        ("-- nothing\nselect 1", "line 1"),
    ] {
        let error = NamedQuery::parse("q", text, "q.sql").unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("q.sql"), "{text}: {error}");
    }
}

#[test]
fn values_are_bound_and_never_read_as_sql() {
    let directory = tempfile::tempdir().unwrap();
    let hostile = "x' or '1'='1";
    retrace_tables::write(directory.path(), &[metric(0, hostile, 1.0), metric(1, "b", 2.0), metric(2, "$task", 3.0)])
        .unwrap();
    let session = Session::open(&[directory.path().to_owned()]).unwrap();
    let text = "-- question: ?\n-- parameter task: t\n-- parameter least = 0: l\n-- parameter share = 1.5: s\n\
                select value * $share as v from metrics where task = $task and step >= $least limit $least + 9";
    let query = NamedQuery::parse("q", text, "q.sql").unwrap();
    let run = |values: &[(&str, &str)]| {
        let answer = session.ask(&query, &given(values))?;
        Ok::<_, QueryError>(String::from_utf8(answer.write(Format::Csv).unwrap()).unwrap())
    };
    assert_eq!(run(&[("task", hostile)]).unwrap(), "v\n1.5\n");
    assert_eq!(run(&[("task", "$task")]).unwrap(), "v\n4.5\n");
    assert_eq!(run(&[("task", "b"), ("share", "-2e0")]).unwrap(), "v\n-4.0\n");
    assert_eq!(run(&[("task", "b"), ("least", "2")]).unwrap(), "v\n");
    assert_eq!(run(&[("task", "'; drop table metrics; --")]).unwrap(), "v\n");
    for (values, says) in [
        (&[][..], "parameter task is missing"),
        (&[("task", "b"), ("tsk", "c")], "no parameter tsk"),
        (&[("task", "b"), ("least", "1 or 1=1")], "not an integer"),
        (&[("task", "b"), ("least", "1.5")], "not an integer"),
        (&[("task", "b"), ("share", "inf")], "not a number"),
    ] {
        match run(values) {
            Err(QueryError::Parameter { query, what, help }) => {
                assert!(
                    query == "q" && what.contains(says) && help.contains("task (t), least = 0 (l)"),
                    "{what} {help}"
                );
            }
            other => panic!("{values:?}: {other:?}"),
        }
    }
}

#[test]
fn a_value_that_no_row_has_is_an_error_and_no_empty_answer() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    let queries = NamedQuery::embedded().unwrap();
    let ask =
        |name: &str, values: &[(&str, &str)]| session.ask(NamedQuery::find(&queries, name).unwrap(), &given(values));
    for (name, values, what, help) in [
        (
            "paired-samples",
            &[("a", "one"), ("b", "twoo")][..],
            "b is \"twoo\", and the table samples has no such run",
            "two",
        ),
        ("runs-differ", &[("a", "One"), ("b", "two")], "a is \"One\", and the table metrics has no such run", "one"),
        ("learning-curve", &[("task", "c")], "task is \"c\", and the table metrics has no such task", "late"),
        ("spikes", &[("run", "three")], "run is \"three\", and the table train_log has no such run", "one"),
    ] {
        match ask(name, values) {
            Err(QueryError::Parameter { what: said, help: helps, .. }) => {
                assert!(said == what && helps.contains(help), "{name}: {said}, {helps}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    // A value that is there gives an answer, also if it is empty.
    assert_eq!(ask("spikes", &[("run", "one")]).unwrap().rows(), 0);
    for column in ["metrics", "metrics.", ".run", "metrics.run; drop", "Metrics.run"] {
        let text = format!("-- question: ?\n-- parameter a in {column}: b\nselect 1");
        let error = NamedQuery::parse("q", &text, "q.sql").unwrap_err();
        assert!(error.to_string().contains("not a table and a column"), "{column}: {error}");
    }
}

/// A release with a few rows of every table.
fn release(directory: &Path) -> Session {
    let row = |run: &str, task: &str, shots: u64, step: u64, value: f64| Metric {
        run: run.to_owned(),
        shots: Some(shots),
        stderr: Some(0.03),
        ..metric(step, task, value)
    };
    let mut metrics = Vec::new();
    for (step, a, b) in [(1, 0.25, 0.5), (2, 0.5, 0.25), (3, 0.75, 0.375)] {
        metrics.extend([row("one", "a", 0, step, a), row("one", "b", 0, step, b)]);
    }
    metrics.extend([row("one", "a", 5, 2, 0.625), row("two", "a", 0, 2, 0.75), row("two", "a", 0, 3, 0.5)]);
    metrics.push(row("one", "late", 0, 3, 0.5));
    retrace_tables::write(directory, &metrics).unwrap();
    let log = |run: &str, step: u64, tokens: u64, loss: f64| TrainLog {
        release: "r".to_owned(),
        run: run.to_owned(),
        step: Step(step),
        tokens: Some(Tokens(tokens)),
        phase: None,
        learning_rate: None,
        loss: Some(loss),
        grad_norm: None,
        source: "s".to_owned(),
        place: format!("line {step}"),
        time: None,
    };
    let logs = [log("one", 1, 10, 4.0), log("one", 2, 20, 3.0), log("one", 3, 40, 2.0), log("one", 4, 60, 1.0)];
    retrace_tables::write(directory, &logs).unwrap();
    let checkpoint = |run: &str, step: u64| Checkpoint {
        release: "r".to_owned(),
        run: run.to_owned(),
        label: format!("step{step}"),
        step: Some(Step(step)),
        tokens: Some(Tokens(step * 10)),
        parameters: Some(1000),
        path: format!("{run}/{step}"),
        state: None,
        source: "s".to_owned(),
        place: "line 1".to_owned(),
    };
    retrace_tables::write(directory, &[checkpoint("one", 1), checkpoint("one", 3), checkpoint("one", 4)]).unwrap();
    let sample = |run: &str, step: u64, item: &str, correct: bool| Sample {
        release: "r".to_owned(),
        run: run.to_owned(),
        step: Some(Step(step)),
        task: "a".to_owned(),
        item: item.to_owned(),
        correct: Some(correct),
        log_likelihood: None,
        source: "s".to_owned(),
        place: "line 1".to_owned(),
        filter: None,
        shots: None,
    };
    let mut samples = Vec::new();
    for (item, early, late) in [("x", false, true), ("y", true, true), ("z", false, false)] {
        samples.extend([sample("one", 1, item, early), sample("one", 3, item, late), sample("two", 3, item, early)]);
    }
    retrace_tables::write(directory, &samples).unwrap();
    // Of the items of `a`, run `one` saw `x` at steps 2 and 4, and no run saw `z`; that `y` has a phrase is no leak.
    let found = |item: &str, line: u64, verdict: &str, method: &str| contamination("a", item, line, verdict, method);
    let found = [
        found("x", 1, "leak", "spans"),
        found("x", 2, "leak", "spans"),
        found("y", 1, "stock_phrase", "spans"),
        found("y", 1, "leak", "gpt3"),
        found("z", 7, "leak", "spans"),
    ];
    retrace_tables::write(directory, &found).unwrap();
    let used = |line: u64, step: u64| Exposure {
        run: "one".to_owned(),
        document: format!("d{line}"),
        shard: "s".to_owned(),
        line,
        step: Step(step),
    };
    retrace_tables::write(directory, &[used(1, 4), used(2, 2), used(2, 3)]).unwrap();
    let tensor = |step: u64, name: &str, moved: Option<f64>| Tensor {
        run: "one".to_owned(),
        checkpoint: format!("one/{step}"),
        step: Some(Step(step)),
        tensor: name.to_owned(),
        dtype: "F32".to_owned(),
        shape: "[2]".to_owned(),
        elements: 2,
        non_finite: 0,
        norm: 2.0,
        mean: Some(0.0),
        std: Some(1.0),
        min: Some(-1.0),
        max: Some(1.0),
        kurtosis: None,
        stable_rank: None,
        distance_to_previous: moved,
        cosine_to_previous: moved.map(|_| 0.5),
        distance_to_first: moved,
        cosine_to_first: None,
        digest: Digest::of(name.as_bytes()),
    };
    let tensors =
        [tensor(1, "w", None), tensor(3, "w", Some(1.0)), tensor(3, "v", Some(3.0)), tensor(3, "u", Some(0.5))];
    retrace_tables::write(directory, &tensors).unwrap();
    Session::open_whole(&[directory.to_owned()], Options::default()).unwrap()
}

#[test]
fn all_that_lie_in_reports_are_there_and_can_be_asked() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    let queries = NamedQuery::embedded().unwrap();
    let lying = NamedQuery::read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../reports/queries")).unwrap();
    let names = |queries: &[NamedQuery]| queries.iter().map(|query| query.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&queries), names(&lying), "list in named.rs what lies in reports/queries");
    assert!(queries == lying, "build anew: reports/queries has changed");
    assert!(queries.len() >= 15);
    for query in &queries {
        assert!(query.question.ends_with('?'), "@{}: {}", query.name, query.question);
        for parameter in &query.parameters {
            assert!(query.sql.contains(&format!("${}", parameter.name)), "@{}: {}", query.name, parameter.name);
        }
        let values: Vec<(&str, &str)> = query
            .parameters
            .iter()
            .filter(|parameter| parameter.default.is_none())
            .map(|parameter| {
                (
                    parameter.name.as_str(),
                    if parameter.name == "task" {
                        "a"
                    } else if parameter.name == "a" {
                        "one"
                    } else {
                        "two"
                    },
                )
            })
            .collect();
        session.ask(query, &given(&values)).unwrap_or_else(|e| panic!("@{}: {e}", query.name));
    }
}

#[test]
fn what_they_answer() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    assert_eq!(
        ask(&session, "learning-curve", &[("task", "a"), ("run", "two")]),
        "tokens,step,release,run,task,shots,value,stderr\n20,2,r,two,a,0,0.75,0.03\n30,3,r,two,a,0,0.5,0.03\n"
    );
    // At step 3 run one has three tasks, and the mean of 0.75, 0.375 and 0.5.
    let best = ask(&session, "best-checkpoint", &[("shots", "0")]);
    assert_eq!(
        best,
        format!("release,run,shots,mean,tasks,step\nr,one,0,{},3,3\nr,two,0,0.75,1,2\n", (0.75 + 0.375 + 0.5) / 3.0)
    );
    assert_eq!(
        ask(&session, "shots-difference", &[]),
        "release,run,task,step,tokens,with_few,with_none,difference\nr,one,a,2,20,0.625,0.5,0.125\n"
    );
    // Two repeats at steps 2 and 3: 0.5 and 0.75, 0.75 and 0.5; the deviation of two is their distance over √2.
    let deviation = 0.25 / f64::sqrt(2.0);
    let noise = ask(&session, "seed-noise", &[]);
    let rows: Vec<Vec<&str>> = noise.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 2, "{noise}");
    for (row, step) in rows.iter().zip(["2", "3"]) {
        assert_eq!((&row[..4], &row[6..]), (&["r", "a", "0", step][..], &["0.25", "0.625", "2"][..]));
        assert!((row[4].parse::<f64>().unwrap() - deviation).abs() < 1e-15, "{noise}");
    }
    assert_eq!(ask(&session, "seed-noise", &[("runs", "one%")]).lines().count(), 1);
    // The mean of the last two losses, 2 and 1.
    assert_eq!(
        ask(&session, "scaling-points", &[("last", "2")]),
        "release,run,params,tokens,loss\nr,one,1000,60,1.5\n"
    );
    assert_eq!(
        ask(&session, "contaminated-items", &[]),
        "release,run,task,filter,shots,step,items,n,accuracy\nr,one,a,,,1,clean,1,1.0\nr,one,a,,,1,in the corpus,1,0.0\n\
         r,one,a,,,1,not seen yet,1,0.0\nr,one,a,,,3,clean,1,1.0\nr,one,a,,,3,in the corpus,1,0.0\n\
         r,one,a,,,3,seen before,1,1.0\nr,two,a,,,3,clean,1,1.0\nr,two,a,,,3,in the corpus,2,0.0\n"
    );
    assert_eq!(
        ask(&session, "contaminated-items", &[("method", "gpt3")]),
        "release,run,task,filter,shots,step,items,n,accuracy\nr,one,a,,,1,clean,2,0.0\nr,one,a,,,1,not seen yet,1,1.0\n\
         r,one,a,,,3,clean,2,0.5\nr,one,a,,,3,not seen yet,1,1.0\nr,two,a,,,3,clean,2,0.0\nr,two,a,,,3,in the corpus,1,1.0\n"
    );
    assert_eq!(
        ask(&session, "layer-moves", &[("most", "2")]),
        "run,step,tensor,moved,cosine,norm\none,3,v,1.5,0.5,2.0\none,3,w,0.5,0.5,2.0\n"
    );
    assert_eq!(ask(&session, "checkpoints-without-evals", &[]), "release,run,label,step,tokens\nr,one,step4,4,40\n");
    assert_eq!(
        ask(&session, "eval-coverage", &[]),
        "release,run,task,shots,missing_at,first_missing,last_missing\nr,one,a,5,2,1,3\nr,one,late,0,2,1,2\n"
    );
    let drops = ask(&session, "greatest-drops", &[]);
    let rows: Vec<&str> = drops.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{drops}");
    assert!(rows[0].starts_with("r,one,b,0,1,2,0.5,0.25,-0.25,-5.8925"), "{drops}");
    assert!(rows[1].starts_with("r,two,a,0,2,3,0.75,0.5,-0.25,-5.8925"), "{drops}");
    assert_eq!(
        ask(&session, "tokens-per-step", &[]),
        "release,run,tokens_per_step,steps,first_step,last_step\nr,one,10.0,1,2,2\nr,one,20.0,2,3,4\n"
    );
}

#[test]
fn what_they_answer_with_functions_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    // At least 0.25 + 0.05, and from then on.
    assert_eq!(
        ask(&session, "emergence", &[]),
        "release,run,task,shots,from_step,first_step,last_step,best\nr,one,a,0,2,1,3,0.75\nr,one,a,5,2,2,2,0.625\n\
         r,one,b,0,3,1,3,0.5\nr,one,late,0,3,3,3,0.5\nr,two,a,0,2,2,3,0.75\n"
    );
    assert_eq!(ask(&session, "emergence", &[("task", "late")]).lines().count(), 2);
    assert_eq!(
        ask(&session, "forgetting", &[("at_least", "0.1")]),
        "release,run,task,shots,peak,lost\nr,two,a,0,0.75,0.25\nr,one,b,0,0.5,0.125\n"
    );
    assert_eq!(
        ask(&session, "tokens-to-threshold", &[("task", "a")]),
        "release,run,shots,tokens,best\nr,one,0,20,0.75\nr,one,5,20,0.625\nr,two,0,20,0.75\n"
    );
    // Halfway between two checkpoints; a single one has no neighbours.
    assert_eq!(
        ask(&session, "interpolated", &[("task", "a"), ("tokens", "25")]),
        "release,run,task,shots,value\nr,one,a,0,0.625\nr,two,a,0,0.625\nr,one,a,5,\n"
    );
    let aligned = ask(&session, "aligned-runs", &[("a", "one"), ("b", "two"), ("task", "a")]);
    for row in ["2,20,a,acc,0,0.5,0.75,-0.25\n", "3,30,a,acc,0,0.75,0.5,0.25\n"] {
        assert!(aligned.contains(row), "{aligned}");
    }
    // 0.25 is 5.9 times √2 · 0.03.
    assert_eq!(
        ask(&session, "runs-differ", &[("a", "one"), ("b", "two")]),
        "task,shots,step,a,stderr_a,b,stderr_b,difference,differs\na,0,2,0.5,0.03,0.75,0.03,-0.25,true\n\
         a,0,3,0.75,0.03,0.5,0.03,0.25,true\n"
    );
    // 4, (4 + 3) / 2, (3.5 + 2) / 2, (2.75 + 1) / 2.
    assert_eq!(
        ask(&session, "smooth-loss", &[("alpha", "0.5")]),
        "step,run,smooth_loss\n1,one,4.0\n2,one,3.5\n3,one,2.75\n4,one,1.875\n"
    );
    assert_eq!(
        ask(&session, "rank-stability", &[]),
        "release,run,shots,step,tasks,spearman,kendall\nr,one,0,3,3,1.0,1.0\n"
    );
    // Ranks 1 2 3 and 3 1 2: ρ = 1 - 6 · 6 / 24; of three pairs one agrees.
    assert_eq!(
        ask(&session, "benchmarks-that-move-together", &[]),
        format!("release,run,shots,task_a,task_b,spearman,kendall,checkpoints\nr,one,0,a,b,-0.5,{},3\n", -1.0 / 3.0)
    );
    // Two of three right, and one of three.
    let paired = ask(&session, "paired-samples", &[("a", "one"), ("b", "two")]);
    assert!(paired.lines().nth(1).is_some_and(|row| row.starts_with("a,,,3,3,0.333333333333333")), "{paired}");
    assert_eq!(ask(&session, "spikes", &[("window", "2")]).lines().count(), 1);
}

/// Ten documents, and for each filter which of them a run answered right, as 1 and 0.
fn answers(run: &str, step: Option<u64>, filters: &[(&str, &str)]) -> Vec<Sample> {
    let of = |(filter, right): &(&str, &str)| -> Vec<Sample> {
        let row = |(at, right): (usize, char)| Sample {
            release: "r".to_owned(),
            run: run.to_owned(),
            step: step.map(Step),
            task: "gsm8k".to_owned(),
            item: at.to_string(),
            correct: Some(right == '1'),
            log_likelihood: None,
            source: "s".to_owned(),
            place: format!("{filter} {at}"),
            filter: Some((*filter).to_owned()),
            shots: None,
        };
        right.chars().enumerate().map(row).collect()
    };
    filters.iter().flat_map(of).collect()
}

#[test]
fn documents_are_paired_once_for_each_filter() {
    let paired = |samples: &[Sample]| {
        let directory = tempfile::tempdir().unwrap();
        retrace_tables::write(directory.path(), samples).unwrap();
        let session = Session::open_whole(&[directory.path().to_owned()], Options::default()).unwrap();
        ask(&session, "paired-samples", &[("a", "one"), ("b", "two")])
    };
    let one = answers("one", Some(5), &[("strict", "1111000000"), ("flexible", "1111111000")]);
    let two = answers("two", Some(5), &[("strict", "1000000000"), ("flexible", "1100000000")]);
    let answer = paired(&[one.clone(), two.clone()].concat());
    let rows: Vec<Vec<&str>> = answer.lines().skip(1).map(|row| row.split(',').collect()).collect();
    // By hand: of ten documents 7 against 2, and 4 against 1; 5 and 3 differ, all in favour of the one: p is 2/2^5 and 2/2^3.
    assert_eq!(
        rows.iter().map(|row| [row[1], row[2], row[4], row[5], row[8]]).collect::<Vec<_>>(),
        [["flexible", "", "10", "0.5", "0.0625"], ["strict", "", "10", "0.3", "0.25"]]
    );
    // That documents were answered twice adds no documents.
    let again = one.iter().map(|row| Sample { place: format!("again {}", row.place), ..row.clone() }).collect();
    assert_eq!(paired(&[one.clone(), again, two].concat()), answer);
    // A run of an unknown step is compared with each step of the other.
    let late = answers("one", Some(7), &[("strict", "1111100000")]);
    let unknown = answers("two", None, &[("strict", "1000000000")]);
    let answer = paired(&[one, late, unknown].concat());
    let rows: Vec<Vec<&str>> = answer.lines().skip(1).map(|row| row.split(',').collect()).collect();
    assert_eq!(
        rows.iter().map(|row| &row[1..6]).collect::<Vec<_>>(),
        [["strict", "", "5", "10", "0.3"], ["strict", "", "7", "10", "0.4"]]
    );
    // Shots are told apart: 4 against 1 with none, 1 against 4 with five. Where they are unknown, each is compared.
    let with = |rows: Vec<Sample>, shots: u64| rows.into_iter().map(move |row| Sample { shots: Some(shots), ..row });
    let of = |run: &str, right: &str| answers(run, Some(5), &[("strict", right)]);
    let one = with(of("one", "1111000000"), 0).chain(with(of("one", "0000000001"), 5));
    let two = with(of("two", "1000000000"), 0).chain(with(of("two", "0000001111"), 5));
    let (one, two) = (one.collect::<Vec<_>>(), two.collect::<Vec<_>>());
    let pairs = |samples: &[Sample]| -> Vec<String> {
        let fields = |row: &str| row.split(',').skip(2).take(4).collect::<Vec<_>>().join(" ");
        paired(samples).lines().skip(1).map(fields).collect()
    };
    assert_eq!(pairs(&[one.clone(), two].concat()), ["0 5 10 0.3", "5 5 10 -0.3"]);
    assert_eq!(pairs(&[one, of("two", "1000000000")].concat()), ["0 5 10 0.3", "5 5 10 0.0"]);
}

#[test]
fn queries_of_ones_own_are_read_from_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("mine.sql"), "-- question: Mine?\nselect 1 as n\n").unwrap();
    std::fs::write(directory.path().join("notes.txt"), "not a query").unwrap();
    let queries = NamedQuery::read(directory.path()).unwrap();
    assert_eq!(queries.iter().map(|query| query.name.as_str()).collect::<Vec<_>>(), ["mine"]);
    match NamedQuery::find(&queries, "mind") {
        Err(QueryError::NoSuchQuery { name, help }) => assert!(name == "mind" && help.contains("mine"), "{help}"),
        other => panic!("{other:?}"),
    }
    std::fs::write(directory.path().join("bad.sql"), "select 1").unwrap();
    assert!(NamedQuery::read(directory.path()).unwrap_err().to_string().contains("bad.sql"));
}

/// A run whose best value is followed by NaN; one with only NaN; and a checkpoint of which one task is NaN.
#[test]
fn named_queries_never_prefer_nan() {
    let directory = tempfile::tempdir().unwrap();
    let row =
        |run: &str, step: u64, task: &str, value: f64| Metric { run: run.to_owned(), ..metric(step, task, value) };
    let rows = [
        row("one", 1, "a", 0.25),
        row("one", 2, "a", 0.5),
        row("one", 3, "a", f64::NAN),
        row("one", 4, "a", 0.375),
        row("none", 1, "a", f64::NAN),
        row("none", 2, "a", -f64::NAN),
        row("part", 1, "a", 0.5),
        row("part", 2, "a", 0.75),
        row("part", 2, "b", f64::NAN),
    ];
    retrace_tables::write(directory.path(), &rows).unwrap();
    let session = Session::open(&[directory.path().to_owned()]).unwrap();
    assert_eq!(
        ask(&session, "best-checkpoint", &[]),
        "release,run,shots,mean,tasks,step\nr,one,0,0.5,1,2\nr,part,0,0.5,1,1\n"
    );
    assert_eq!(
        ask(&session, "forgetting", &[]),
        "release,run,task,shots,peak,lost\nr,none,a,0,NaN,NaN\nr,part,b,0,NaN,NaN\nr,one,a,0,0.5,0.125\nr,part,a,0,0.75,0.0\n"
    );
    let columns = "release,run,task,shots,step_before,step,value_before,value,change,deviations";
    assert_eq!(ask(&session, "greatest-drops", &[]), format!("{columns}\n"));
    let best = ask(&session, "emergence", &[("chance", "0.2"), ("margin", "0"), ("task", "a")]);
    assert_eq!(
        best,
        "release,run,task,shots,from_step,first_step,last_step,best\n\
         r,none,a,0,,1,2,NaN\nr,one,a,0,4,1,4,0.5\nr,part,a,0,1,1,2,0.75\n"
    );
}
