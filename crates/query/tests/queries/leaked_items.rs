//! The named query `leaked-items`, computed by hand.

use std::collections::BTreeMap;

use retrace_query::{Format, NamedQuery, Options, Session};
use retrace_spec::Step;
use retrace_tables::{Contamination, Exposure, Sample};

use crate::contamination;

fn found(item: &str, verdict: &str, line: u64) -> Contamination {
    contamination("b", item, line, verdict, "spans")
}

fn seen(run: &str, line: u64, step: u64) -> Exposure {
    Exposure { run: run.to_owned(), document: format!("d{line}"), shard: "s".to_owned(), line, step: Step(step) }
}

fn scores(run: &str, item: &str, scores: [Option<f64>; 3]) -> Vec<Sample> {
    let row = |(at, score): (usize, Option<f64>)| Sample {
        release: "r".to_owned(),
        run: run.to_owned(),
        step: Some(Step(10 * at as u64)),
        task: "b".to_owned(),
        item: item.to_owned(),
        // The answers of run `two` are right or wrong, whatever their likelihood.
        correct: (run == "two").then(|| score.is_some_and(|score| score > 0.0)),
        log_likelihood: score,
        source: "eval".to_owned(),
        place: "line 1".to_owned(),
        filter: None,
        shots: None,
    };
    scores.into_iter().enumerate().filter(|(_, score)| score.is_some()).map(row).collect()
}

#[test]
fn scores_before_and_after() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // Two documents leak `x`; only a near miss is known of `clean`.
    let table = [found("x", "leak", 1), found("x", "leak", 2), found("y", "leak", 3), found("clean", "near_miss", 4)];
    retrace_tables::write(path, &table).unwrap();
    // `x` is in the batches of steps 10 and 12: the checkpoint of step 10 has it. `y` is seen before any checkpoint.
    let table = [seen("one", 1, 12), seen("one", 2, 10), seen("one", 3, 0), seen("one", 4, 5), seen("two", 1, 11)];
    retrace_tables::write(path, &table).unwrap();
    let all = |values: [f64; 3]| values.map(Some);
    let samples = [
        scores("one", "x", all([-9.0, -5.0, -4.0])),
        scores("one", "y", all([-3.0, -2.0, -1.0])),
        scores("one", "clean", all([-8.0, -7.0, -6.0])),
        scores("one", "other", all([-6.0, -5.0, -5.0])),
        scores("two", "x", all([-1.0, -1.0, 1.0])),
        scores("two", "clean", [None, Some(1.0), Some(1.0)]),
    ];
    retrace_tables::write(path, &samples.concat()).unwrap();
    let session = Session::open_whole(&[path.to_owned()], Options::default()).unwrap();
    let query = NamedQuery::find(&NamedQuery::embedded().unwrap(), "leaked-items").unwrap().clone();
    let ask = |given: &[(&str, &str)]| {
        let given: BTreeMap<String, String> =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        String::from_utf8(session.ask(&query, &given).unwrap().write(Format::Csv).unwrap()).unwrap()
    };
    // Clean items of `one` rise by 1 to step 10 and by 0.5 from there on; those of `two` stay right.
    let head = "run,benchmark,item,exposures,first_seen,step_before,before,step_after,after,step_last,last,change,last_change\n";
    let one = "one,b,x,2,10,0,-9.0,10,-5.0,20,-4.0,3.0,3.5\none,b,y,1,0,,,0,-3.0,20,-1.0,,\n";
    let two = "two,b,x,1,11,10,0.0,20,1.0,20,1.0,1.0,1.0\n";
    assert_eq!(ask(&[]), format!("{head}{one}{two}"));
    assert_eq!(ask(&[("run", "two"), ("benchmark", "b")]), format!("{head}{two}"));
    assert_eq!(ask(&[("benchmark", "c")]), head);
}
