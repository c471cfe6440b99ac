//! The section on exposures, from tables whose content is known. Afterwards the page is in Cargo's directory for tests'
//! files (`target/tmp/exposure.html`), for viewing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;

use retrace_analysis::contamination::{Method, Verdict};
use retrace_analysis::exposure::NotCompared;
use retrace_query::Session;
use retrace_report::contamination::{ContaminationCounts, Rate, RunExposure, Share};
use retrace_report::exposure::{Exposures, Score};
use retrace_report::{Part, ReportError, page};
use retrace_spec::{Step, Tokens};
use retrace_tables::{Checkpoint, Contamination, Exposure, Sample};

const HOSTILE: &str = "<script>alert(1)</script>&\"'<img src=x onerror=alert(1)>\u{202e},\n";

/// The checkpoints, and the items of each benchmark.
const STEPS: [u64; 5] = [0, 20, 40, 60, 80];
const ITEMS: u64 = 12;
const LEAKED: u64 = 5;

fn found(benchmark: &str, item: u64, verdict: &str, left_out: u64) -> Contamination {
    Contamination {
        benchmark: benchmark.to_owned(),
        subset: None,
        item: format!("item {item}"),
        method: "spans".to_owned(),
        verdict: verdict.to_owned(),
        score: 1.0,
        part: "question".to_owned(),
        parts: "question".to_owned(),
        form: "verbatim".to_owned(),
        with_answer: false,
        document: format!("document {item}"),
        shard: "clean/a.jsonl".to_owned(),
        line: item,
        language: None,
        origin: None,
        item_text: String::new(),
        item_spans: String::new(),
        excerpt: None,
        excerpt_start: None,
        document_spans: String::new(),
        left_out,
    }
}

/// The step at which the run first sees a leaked item.
fn first_seen(item: u64) -> u64 {
    10 + 13 * item
}

/// Texts rise by 2 from one checkpoint to the next, and by 30 when they are seen; answers do not change by that. The twin
/// is 1 higher throughout.
fn tables(directory: &Path, texts: &str, questions: &str, runs: [&str; 2]) {
    let mut contamination = Vec::new();
    let (mut exposures, mut samples, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
    for benchmark in [texts, questions] {
        contamination.extend((0..LEAKED).map(|item| found(benchmark, item, "leak", u64::from(item == 4))));
        contamination.push(found(benchmark, LEAKED, "near_miss", 0));
        // What only the method of a paper finds does not count.
        contamination.push(Contamination { method: "gpt3".to_owned(), ..found(benchmark, LEAKED, "leak", 0) });
    }
    for item in 0..=LEAKED {
        for step in [first_seen(item), first_seen(item) + 7] {
            exposures.push(Exposure {
                run: runs[0].to_owned(),
                document: format!("document {item}"),
                shard: "clean/a.jsonl".to_owned(),
                line: item,
                step: Step(step),
            });
        }
    }
    for run in runs {
        for step in STEPS {
            checkpoints.push(Checkpoint {
                release: "r".to_owned(),
                run: run.to_owned(),
                label: format!("step-{step}"),
                step: Some(Step(step)),
                // The tokens of the last checkpoint are not known.
                tokens: (step < 80).then_some(Tokens(step * 1000)),
                parameters: None,
                path: String::new(),
                state: None,
                source: String::new(),
                place: String::new(),
            });
            for (benchmark, item) in
                [texts, questions].into_iter().flat_map(|of| (0..ITEMS).map(move |item| (of, item)))
            {
                let leaked = run == runs[0] && item < LEAKED && first_seen(item) <= step;
                let noise = (item * 7 + step) % 5;
                let text = -200.0 - item as f64 + step as f64 / 10.0 + noise as f64 / 10.0;
                samples.push(Sample {
                    release: "r".to_owned(),
                    run: run.to_owned(),
                    step: Some(Step(step)),
                    task: benchmark.to_owned(),
                    item: format!("item {item}"),
                    correct: (benchmark == questions).then_some((item + step / 20) % 3 == 0),
                    log_likelihood: Some(text + if leaked { 30.0 } else { 0.0 } + f64::from(u8::from(run == runs[1]))),
                    source: String::new(),
                    place: String::new(),
                    filter: None,
                    shots: None,
                });
            }
        }
    }
    retrace_tables::write(directory, &contamination).unwrap();
    retrace_tables::write(directory, &exposures).unwrap();
    retrace_tables::write(directory, &samples).unwrap();
    retrace_tables::write(directory, &checkpoints).unwrap();
}

const BENCHMARKS: [&str; 2] = ["texts", "questions"];

/// A search that looked at these runs; of the last, some shards were not searched.
fn counts(benchmarks: [&str; 2], runs: &[&str], unsearched: u64) -> ContaminationCounts {
    let rate = |benchmark: &str, (method, leaked): (Method, u64)| Rate {
        method,
        benchmark: benchmark.to_owned(),
        subset: None,
        leaked: Share::new(leaked, ITEMS),
        with_answer: 0,
        verdicts: vec![(Verdict::Leak, leaked)],
        nothing: ITEMS - leaked,
        not_searched: 0,
    };
    // As in the tables: five items by our method, another one by the method of a paper.
    let rates = benchmarks.map(|benchmark| [(Method::Spans, LEAKED), (Method::Gpt3, 1)].map(|of| rate(benchmark, of)));
    let run = |(at, run): (usize, &&str)| RunExposure {
        run: (*run).to_owned(),
        documents: LEAKED,
        used: 0,
        absent: 0,
        unsearched: if at + 1 == runs.len() { unsearched } else { 0 },
    };
    ContaminationCounts {
        methods: vec![Method::Spans, Method::Gpt3],
        rates: rates.into_iter().flatten().collect(),
        runs: runs.iter().enumerate().map(run).collect(),
        ..ContaminationCounts::default()
    }
}

fn twins(run: &str, twin: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(run.to_owned(), twin.to_owned())])
}

#[test]
fn the_tables_are_joined() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path(), "texts", "questions", ["leaked", "twin"]);
    let session = Session::open(&[directory.path().to_owned()]).unwrap();
    let read =
        Exposures::read(&session, &counts(BENCHMARKS, &["leaked", "twin"], 0), &twins("leaked", "twin")).unwrap();
    assert_eq!((read.unexposed.as_slice(), read.without_tokens), (&["twin".to_owned()][..], 2));
    let [questions, texts] = read.exposed.as_slice() else { panic!("{read:?}") };
    assert_eq!((questions.benchmark.as_str(), questions.score), ("questions", Score::Correct));
    assert_eq!((texts.benchmark.as_str(), texts.score), ("texts", Score::LogLikelihood));
    let of = &texts.comparison;
    assert_eq!((of.checkpoints.len(), of.clean), (4, 7));
    // Items 0 to 3 are first seen at 10, 23, 36 and 49; of item 4 a document is not in the table.
    let steps: Vec<_> = of.leaked.iter().map(|item| (item.before.map(|at| at.0), item.after.map(|at| at.0))).collect();
    let at = |step| Some(Step(step));
    assert_eq!(steps, [(at(0), at(20)), (at(20), at(40)), (at(20), at(40)), (at(40), at(60)), (None, None)]);
    assert_eq!(of.leaked[4].not_compared, Some(NotCompared::PartlyKnown));
    assert_eq!(of.leaked[1].exposures, [Step(23), Step(30)]);
    let first = of.first.as_ref().unwrap();
    assert!((first.mean - 30.0).abs() < 0.5 && (first.leaked, first.clean, first.rose) == (4, 7, 4), "{first:?}");
    // One choice of 4 items of 11 has them all; two benchmarks.
    assert!(first.p < 2.0 / 300.0 && (first.p_adjusted - 2.0 * first.p).abs() < 1e-12, "{first:?}");
    let (twin, against) = texts.twin.as_ref().unwrap();
    assert_eq!((twin.as_str(), against.checkpoints.len()), ("twin", 4));
    let last = against.last.as_ref().unwrap();
    assert!((last.mean - 30.0).abs() < 1e-9 && last.leaked == 4, "{last:?}");
    assert!(questions.comparison.first.as_ref().unwrap().p > 0.05);
    assert!(questions.twin.as_ref().unwrap().1.last.as_ref().unwrap().mean.abs() < 1e-12);

    let text = page("leaks", None, &[Part::Exposure(read)]).unwrap();
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("exposure.html"), &text).unwrap();
    for words in [
        "5 of 12 items leak; 4 can be compared before and after.",
        "Not compared: 1, not all documents that leak it are in the table.",
        "leaked items rose by 30",
        "no change that the test tells from chance",
        "No leaked item was in a batch of: twin.",
        "Left out: 2 checkpoints",
    ] {
        assert!(text.contains(words), "{words}");
    }
    // Scores, and the gain on the twin, of two benchmarks.
    assert_eq!(text.matches("<svg ").count(), 4);
}

#[test]
fn a_twin_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path(), "texts", "questions", ["leaked", "twin"]);
    let session = Session::open(&[directory.path().to_owned()]).unwrap();
    let both = counts(BENCHMARKS, &["leaked", "twin"], 0);
    for (counts, run, twin, says) in [
        (&both, "twin", "leaked", "\"leaked\" saw leaked items of \"questions\" too"),
        (&both, "leaked", "other", "\"other\" has no scores"),
        (&both, "other", "twin", "\"other\" has no scores"),
        (&counts(BENCHMARKS, &["leaked"], 0), "leaked", "twin", "the search does not name \"twin\""),
        (&counts(BENCHMARKS, &["leaked", "twin"], 3), "leaked", "twin", "3 shards of \"twin\" were not searched"),
    ] {
        let error = Exposures::read(&session, counts, &twins(run, twin)).unwrap_err();
        assert!(matches!(error, ReportError::Twin { .. }) && error.to_string().contains(says), "{error}");
    }
}

#[test]
fn counts_of_another_search_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path(), "texts", "questions", ["leaked", "twin"]);
    let session = Session::open(&[directory.path().to_owned()]).unwrap();
    let good = || counts(BENCHMARKS, &["leaked", "twin"], 0);
    assert!(Part::contamination(&session, good()).is_ok());
    let mut fewer = good();
    fewer.rates[0].leaked.count -= 1;
    let mut other = good();
    other.rates.truncate(2);
    let more = Rate { benchmark: "more".to_owned(), ..good().rates[0].clone() };
    let more = ContaminationCounts { rates: good().rates.into_iter().chain([more]).collect(), ..good() };
    for (counts, says) in [
        (fewer, "items of \"texts\" with a leak by spans: 5 in the table, 4 in the counts"),
        (other, "items of \"questions\" with a leak by gpt3: 1 in the table, 0 in the counts"),
        (more, "items of \"more\" with a leak by spans: 0 in the table, 5 in the counts"),
    ] {
        let section = Part::contamination(&session, counts.clone()).map(drop).unwrap_err();
        let exposure = Exposures::read(&session, &counts, &BTreeMap::new()).map(drop).unwrap_err();
        for error in [section, exposure] {
            assert!(matches!(error, ReportError::OtherSearch { .. }) && error.to_string().contains(says), "{error}");
        }
    }
}

#[test]
fn without_exposures_there_is_nothing_to_compare() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path(), "texts", "questions", ["leaked", "twin"]);
    retrace_tables::write::<Exposure>(directory.path(), &[]).unwrap();
    let session = Session::open(&[directory.path().to_owned()]).unwrap();
    let read = Exposures::read(&session, &counts(BENCHMARKS, &["leaked"], 2), &BTreeMap::new()).unwrap();
    assert!(read.exposed.is_empty());
    assert_eq!(
        (read.unexposed.as_slice(), read.unsearched.as_slice()),
        (&["leaked".to_owned()][..], &["twin".to_owned()][..])
    );
    assert_eq!(read.partly_searched, [("leaked".to_owned(), 2)]);
    assert!(page("leaks", None, &[Part::Exposure(read)]).unwrap().contains("No run saw a leaked item"));
}

#[test]
fn hostile_names_are_texts() {
    let directory = tempfile::tempdir().unwrap();
    let (texts, run) = (format!("texts{HOSTILE}"), format!("run{HOSTILE}"));
    tables(directory.path(), &texts, HOSTILE, [&run, HOSTILE]);
    let session = Session::open(&[directory.path().to_owned()]).unwrap();
    let read =
        Exposures::read(&session, &counts([&texts, HOSTILE], &[&run, HOSTILE], 0), &twins(&run, HOSTILE)).unwrap();
    let text = page(HOSTILE, None, &[Part::Exposure(read)]).unwrap();
    let lower = text.to_lowercase();
    for tag in ["<script", "<img", "<iframe", "<object"] {
        assert!(!lower.contains(tag), "{tag}");
    }
    for tag in text.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let bare: String = tag.split('"').step_by(2).collect();
        assert!(tag.matches('"').count() % 2 == 0 && !bare.contains("onerror"), "<{tag}>");
    }
    assert!(!text.contains('\u{202e}') && text.contains("&lt;script&gt;"));
}
