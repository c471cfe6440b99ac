//! Figures of invented tables. Afterwards the page is in Cargo's directory for tests' files
//! (`target/tmp/checkpoints.html`), for viewing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retrace_query::{Format, Session};
use retrace_report::{Choice, Figure, Figures, Part, ReportError, figures_page, no_weights, page, weights};
use retrace_spec::{Digest, Step, Tokens};
use retrace_tables::{Metric, Row, Tensor, TrainLog, write};

fn metric(
    release: &str,
    run: &str,
    tokens: Option<u64>,
    name: (&str, &str),
    value: f64,
    stderr: Option<f64>,
) -> Metric {
    Metric {
        release: release.to_owned(),
        run: run.to_owned(),
        step: tokens.map(|tokens| Step(tokens / 100)),
        tokens: tokens.map(Tokens),
        task: name.0.to_owned(),
        shots: Some(0),
        metric: name.1.to_owned(),
        value,
        stderr,
        source: "eval.json".to_owned(),
        place: "line 1".to_owned(),
        is_group: None,
        time: None,
    }
}

fn log(run: &str, step: u64, tokens: Option<u64>, loss: f64) -> TrainLog {
    TrainLog {
        release: "r".to_owned(),
        run: run.to_owned(),
        step: Step(step),
        tokens: tokens.map(Tokens),
        phase: None,
        learning_rate: None,
        loss: Some(loss),
        grad_norm: None,
        source: "journal.jsonl".to_owned(),
        place: format!("line {step}"),
        time: None,
    }
}

fn tensor(run: &str, step: u64, name: &str, norm: f64, moved: Option<f64>) -> Tensor {
    Tensor {
        run: run.to_owned(),
        checkpoint: format!("runs/{run}/step-{step}"),
        step: Some(Step(step)),
        tensor: name.to_owned(),
        dtype: "F32".to_owned(),
        shape: "[4, 4]".to_owned(),
        elements: 16,
        non_finite: 0,
        norm,
        mean: Some(0.0),
        std: Some(norm / 4.0),
        min: Some(-1.0),
        max: Some(1.0),
        kurtosis: Some(3.0),
        stable_rank: None,
        distance_to_previous: moved,
        cosine_to_previous: None,
        distance_to_first: moved.map(|moved| 2.0 * moved),
        cosine_to_first: None,
        digest: Digest::of(name.as_bytes()),
    }
}

fn put<R: Row>(directory: &Path, rows: &[R]) {
    write(&directory.join("tables"), rows).unwrap();
}

fn session(directory: &Path) -> Session {
    Session::open(&[PathBuf::from(directory)]).unwrap()
}

fn every(all: &[Figures]) -> impl Iterator<Item = &Figure> {
    all.iter().flat_map(|of| &of.figures)
}

fn find<'a>(all: &'a [Figures], title: &str) -> &'a Figure {
    let titles: Vec<&String> = every(all).map(|figure| &figure.title).collect();
    every(all).find(|figure| figure.title == title).unwrap_or_else(|| panic!("{title} is not in {titles:?}"))
}

/// The rows of a figure by the names of their columns.
fn rows(figure: &Figure) -> Vec<BTreeMap<String, String>> {
    let mut lines = figure.csv.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let columns = lines.next().unwrap();
    lines.map(|line| columns.iter().cloned().zip(line).collect()).collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or(f64::NAN)
}

/// The tables of two runs. `b` has half of the checkpoints of `a`, and one at a number of tokens that `a` lacks.
fn tables(directory: &Path) {
    let mut metrics = Vec::new();
    for n in 0..=10u64 {
        let value = 0.25 + 0.05 * n as f64;
        metrics.push(metric("r", "a", Some(1000 * n), ("arc", "acc"), value, Some(0.03)));
        metrics.push(metric("r", "a", Some(1000 * n), ("text", "bits_per_byte"), 2.0 - 0.1 * n as f64, None));
        if n % 2 == 0 {
            metrics.push(metric("r", "b", Some(1000 * n), ("arc", "acc"), value + 0.01, Some(0.04)));
        }
    }
    metrics.push(metric("r", "b", Some(9500), ("arc", "acc"), 0.9, None));
    metrics.push(metric("r", "b", None, ("arc", "acc"), 0.1, None));
    metrics.push(metric("r", "b", Some(10_500), ("arc", "acc"), f64::NAN, None));
    put(directory, &metrics);
    let mut logs = Vec::new();
    for step in 1..=1000u64 {
        logs.push(log("a", step, Some(step * 100), 5.0 - step as f64 / 400.0));
        if step <= 500 {
            logs.push(log("b", step, Some(step * 200), 5.5 - step as f64 / 200.0));
        }
    }
    logs.push(log("b", 501, Some(100_200), f64::INFINITY));
    put(directory, &logs);
    let mut tensors = Vec::new();
    for step in [0u64, 100, 200] {
        for (at, name) in [
            "lm_head.weight",
            "model.embed_tokens.weight",
            "model.layers.0.mlp.up.weight",
            "model.layers.0.self_attn.q.weight",
        ]
        .into_iter()
        .enumerate()
        {
            let norm = 1.0 + at as f64 + step as f64 / 100.0;
            tensors.push(tensor("a", step, name, norm, (step > 0).then_some(0.1 * at as f64)));
        }
    }
    put(directory, &tensors);
}

#[test]
fn figures_have_the_numbers_of_the_tables() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path());
    let session = session(directory.path());
    let all = Choice::default().figures(&session).unwrap();
    let titles: Vec<&str> = every(&all).map(|figure| figure.title.as_str()).collect();
    let (acc, bits) = ("arc acc, 0-shot", "text bits_per_byte, 0-shot");
    let expected = [
        acc,
        bits,
        "arc acc, 0-shot less a",
        "text bits_per_byte, 0-shot less a",
        "Training loss",
        "Training loss less a",
    ];
    assert_eq!(titles, expected);

    // By hand from the tables above.
    let figure = find(&all, acc);
    assert_eq!((figure.rows, figure.non_finite), (20, 1));
    assert_eq!(figure.caption, "Bars are one standard error; it is unknown for 1 of 18 points.");
    assert_eq!(
        figure.left_out,
        ["Left out, because not finite: 1 value.", "Left out: 1 checkpoint without a number of tokens."]
    );
    assert_eq!(find(&all, bits).caption, "No standard error is known.");

    let compared = find(&all, "arc acc, 0-shot less a");
    let found = rows(compared);
    assert_eq!(found.len(), 6);
    for (row, tokens) in found.iter().zip([0.0, 2000.0, 4000.0, 6000.0, 8000.0, 10_000.0]) {
        assert_eq!(number(row, "tokens"), tokens);
        assert!((number(row, "difference") - 0.01).abs() < 1e-12, "{row:?}");
        assert!((number(row, "stderr") - 0.05).abs() < 1e-12, "3, 4, 5: {row:?}");
    }
    assert_eq!(compared.left_out, ["Not compared: 1 checkpoint at tokens where a has none."]);
    assert_eq!(find(&all, "text bits_per_byte, 0-shot less a").rows, 0);

    // A part is 500 tokens, of 100 000: five steps of a, or two or three of b.
    let loss = find(&all, "Training loss");
    assert_eq!(loss.non_finite, 1);
    let width = 100_000u64.div_ceil(200);
    for row in rows(loss) {
        let (run, part) = (&row["run"], (number(&row, "tokens") as u64) / width);
        let of = |step: &u64| match run.as_str() {
            "a" => (step * 100, 5.0 - *step as f64 / 400.0),
            _ => (step * 200, 5.5 - *step as f64 / 200.0),
        };
        let last = if run == "a" { 1000 } else { 500 };
        let inside: Vec<f64> = (1..=last)
            .map(|step| of(&step))
            .filter(|(tokens, _)| tokens / width == part)
            .map(|(_, loss)| loss)
            .collect();
        assert_eq!(number(&row, "steps") as usize, inside.len(), "{row:?}");
        let mean = inside.iter().sum::<f64>() / inside.len() as f64;
        assert!((number(&row, "loss") - mean).abs() < 1e-9, "{row:?}, not {mean}");
        // It stands at the mean of the tokens.
        let tokens: Vec<f64> = (1..=last)
            .map(|step| of(&step).0)
            .filter(|tokens| tokens / width == part)
            .map(|tokens| tokens as f64)
            .collect();
        let mean = tokens.iter().sum::<f64>() / tokens.len() as f64;
        assert!((number(&row, "tokens") - mean).abs() < 1e-6, "{row:?}, not {mean}");
    }
    let parts: BTreeMap<(String, String), f64> =
        rows(loss).iter().map(|row| ((row["run"].clone(), row["part"].clone()), number(row, "loss"))).collect();
    let differences = rows(find(&all, "Training loss less a"));
    assert!(differences.len() > 150, "{}", differences.len());
    for row in differences {
        let of = |run: &str| parts[&(run.to_owned(), row["part"].clone())];
        assert!((number(&row, "difference") - (of("b") - of("a"))).abs() < 1e-12, "{row:?}");
    }
}

/// 120 steps of 256 tokens: a 200th of the run is less than a step.
#[test]
fn no_part_of_the_training_loss_is_smaller_than_a_step() {
    let directory = tempfile::tempdir().unwrap();
    let steps =
        |run: &'static str| (1..=120u64).map(move |step| log(run, step, Some(step * 256), 5.0 - step as f64 / 40.0));
    put(directory.path(), &steps("a").chain(steps("b")).collect::<Vec<_>>());
    let all = Choice::default().figures(&session(directory.path())).unwrap();
    let found = rows(find(&all, "Training loss"));
    assert_eq!(found.len(), 240);
    for (at, row) in found.iter().enumerate() {
        let step = (at % 120 + 1) as f64;
        assert_eq!((number(row, "tokens"), number(row, "loss")), (256.0 * step, 5.0 - step / 40.0));
    }
    assert_eq!(rows(find(&all, "Training loss less a")).len(), 120);
}

#[test]
fn values_at_the_same_tokens_are_said() {
    let directory = tempfile::tempdir().unwrap();
    let mut metrics = Vec::new();
    for run in ["a", "b"] {
        metrics.extend([1000, 2000].map(|tokens| metric("r", run, Some(tokens), ("arc", "acc"), 0.5, None)));
    }
    metrics.push(metric("r", "b", Some(2000), ("arc", "acc"), 0.9, None));
    put(directory.path(), &metrics);
    let mut logs: Vec<TrainLog> = (1..=1000).map(|step| log("a", step, Some(step * 100), 3.0)).collect();
    logs.extend((500..600).map(|step| log("a", step, Some(step * 100), 1.0)));
    put(directory.path(), &logs);
    let all = Choice::default().figures(&session(directory.path())).unwrap();
    for (title, said) in [
        ("arc acc, 0-shot", "1 value at tokens at which the run has another value: all are drawn."),
        ("arc acc, 0-shot less a", "Averaged: 1 value with another value of the same run at the same tokens."),
        ("Training loss", "Averaged: 100 steps at tokens at which the run has another step."),
    ] {
        assert!(find(&all, title).left_out.contains(&said.to_owned()), "{title}: {:?}", find(&all, title).left_out);
    }
}

/// Values that no figure has: of metrics and runs that are not chosen or too many.
#[test]
fn every_value_is_looked_at_also_if_it_is_not_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let name = |at: usize| format!("task{at:03}");
    let metrics: Vec<Metric> = (0..70)
        .map(|at| metric("r", "a", Some(1000), (&name(at), "acc"), if at == 65 { f64::NAN } else { at as f64 }, None))
        .collect();
    put(directory.path(), &metrics);
    put(directory.path(), &[log("a", 1, Some(100), 3.0), log("b", 1, Some(100), f64::INFINITY)]);
    let tensors: Vec<Tensor> = (0..15u64)
        .map(|run| Tensor {
            non_finite: 5 * u64::from(run == 14),
            ..tensor(&format!("run{run:02}"), 1, "w", 1.0, None)
        })
        .collect();
    put(directory.path(), &tensors);
    let session = session(directory.path());
    let of = |found: &[Figures]| found.iter().map(|figures| figures.non_finite).sum::<u64>();
    let all = Choice::default().figures(&session).unwrap();
    assert_eq!(of(&all), 2);
    assert!(all[0].left_out.contains(&"Not finite, and in no figure: 1 value.".to_owned()), "{:?}", all[0].left_out);
    let chosen = Choice { runs: vec!["a".to_owned()], metrics: vec!["task000".to_owned()], interpolate: false };
    assert_eq!(of(&chosen.figures(&session).unwrap()), 2);
    for runs in [&[][..], &["run01".to_owned()]] {
        let found = weights(&session, runs).unwrap();
        assert_eq!(of(&found), 5);
        let said = "Not finite, and in no figure: 5 weights of other runs.".to_owned();
        assert!(found.last().unwrap().left_out.contains(&said));
    }
    assert_eq!(no_weights(&session).unwrap().unwrap().non_finite, 5);
}

#[test]
fn weights_of_two_runs_with_one_name_are_refused() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (directory, norm) in directories.iter().zip([4.0, 40.0]) {
        put(directory.path(), &[tensor("base", 0, "w", norm, None), tensor("base", 10, "w", norm, None)]);
    }
    let both = Session::open(&directories.each_ref().map(|of| of.path().to_owned())).unwrap();
    let error = weights(&both, &[]).unwrap_err().to_string();
    for directory in &directories {
        assert!(error.contains(directory.path().to_str().unwrap()) && error.contains("\"base\""), "{error}");
    }
    put(directories[1].path(), &[tensor("small", 0, "w", 4.0, None)]);
    let both = Session::open(&directories.each_ref().map(|of| of.path().to_owned())).unwrap();
    assert_eq!(weights(&both, &[]).unwrap().len(), 2);
    put(directories[1].path(), &[tensor("small", 0, "w", 4.0, None), tensor("small", 0, "w", 40.0, None)]);
    let error = weights(&session(directories[1].path()), &[]).unwrap_err().to_string();
    assert!(error.contains("the tensor w of the checkpoint runs/small/step-0 twice"), "{error}");
}

#[test]
fn runs_are_interpolated_only_if_that_is_chosen() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path());
    let session = session(directory.path());
    let choice =
        Choice { metrics: vec!["arc".to_owned()], runs: vec!["b".to_owned(), "a".to_owned()], interpolate: true };
    let all = choice.figures(&session).unwrap();
    // The first run that was chosen is the one that the others are compared with.
    let figure = find(&all, "arc acc, 0-shot less b");
    for row in rows(figure) {
        // Between two checkpoints of b, which are on a line, except after the last of these.
        let expected = if number(&row, "tokens") == 9000.0 {
            0.25 + 0.45 - (0.66 + (0.9 - 0.66) * 1000.0 / 1500.0)
        } else {
            -0.01
        };
        assert!((number(&row, "difference") - expected).abs() < 1e-12, "{row:?} {expected}");
    }
    assert_eq!(figure.rows, 11);
    assert!(figure.caption.contains("no standard error"));
}

#[test]
fn the_query_under_a_figure_gives_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path());
    let session = session(directory.path());
    let interpolated = Choice { interpolate: true, ..Choice::default() };
    let mut all = Choice::default().figures(&session).unwrap();
    all.extend(interpolated.figures(&session).unwrap());
    all.extend(weights(&session, &[]).unwrap());
    assert!(every(&all).count() > 14);
    for figure in every(&all) {
        let answer = session.run(&figure.sql).unwrap();
        assert_eq!(String::from_utf8(answer.write(Format::Csv).unwrap()).unwrap(), figure.csv, "{}", figure.title);
        assert_eq!(answer.rows(), figure.rows);
    }
}

#[test]
fn heat_maps_have_the_statistics_of_each_tensor() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path());
    let all = weights(&session(directory.path()), &[]).unwrap();
    // By hand: norms are 1 to 4, and one more with each checkpoint, of 16 elements; the first tensor does not move.
    for row in rows(find(&all, "a: Size of the weights")) {
        let at = [
            "lm_head.weight",
            "model.embed_tokens.weight",
            "model.layers.0.mlp.up.weight",
            "model.layers.0.self_attn.q.weight",
        ]
        .iter()
        .position(|name| *name == row["place"])
        .unwrap();
        assert_eq!(number(&row, "value"), (1.0 + at as f64 + number(&row, "step") / 100.0) / 4.0, "{row:?}");
    }
    let moved = rows(find(&all, "a: Distance from the checkpoint before"));
    assert_eq!(moved.len(), 8, "the first checkpoint has none before it");
    assert!((number(&moved[2], "value") - 0.2 / 4.0).abs() < 1e-15 && number(&moved[0], "value") == 0.0, "{moved:?}");
    assert!(all[0].left_out.contains(&"Stable rank: the table has no such values.".to_owned()));
    assert!(all[0].left_out.contains(&"Every weight is finite.".to_owned()));
    // Embeddings first, attention before what follows it, the head last.
    let page = figures_page("Checkpoint report", "t", &all, "made").unwrap();
    let texts: String = page.split("<text ").skip(1).collect();
    let place = |name: &str| texts.find(name).unwrap();
    assert!(place("model.embed_tokens") < place("self_attn.q") && place("self_attn.q") < place("mlp.up"));
}

#[test]
fn many_tensors_and_checkpoints_are_taken_together_and_what_is_left_out_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let mut tensors = Vec::new();
    for layer in 0..170 {
        for part in ["self_attn.q.weight", "mlp.up.weight"] {
            for step in 0..102u64 {
                let name = format!("model.layers.{layer}.{part}");
                let norm = if part.starts_with("mlp") { 3.0 } else { 4.0 };
                let mut of = tensor("big", step, &name, norm, None);
                of.non_finite = u64::from(layer == 3 && step == 7);
                tensors.push(of);
            }
        }
    }
    put(directory.path(), &tensors);
    let all = weights(&session(directory.path()), &[]).unwrap();
    let figure = find(&all, "big: Size of the weights");
    assert_eq!(figure.rows, 170 * 102);
    // The two tensors of a layer together: the square root of (9 + 16) / 32.
    assert!((number(&rows(figure)[0], "value") - (25.0f64 / 32.0).sqrt()).abs() < 1e-15);
    assert!(rows(figure).iter().any(|row| row["place"] == "model.layers.169"));
    let expected = ["Only the first 160 of 170 rows are drawn.", "Only one of 2 checkpoints is drawn, of 102."];
    assert_eq!(figure.left_out, expected);
    assert_eq!(find(&all, "big: Weights that are not finite").non_finite, 2);
    let page = figures_page("Checkpoint report", "t", &all, "made").unwrap();
    assert!(page.len() < 3_000_000, "{}", page.len());
}

#[test]
fn little_or_odd_data_is_drawn_or_said() {
    let directory = tempfile::tempdir().unwrap();
    let odd = "\u{202e}<script>&\"x\u{200b}'";
    let mut metrics: Vec<Metric> =
        (0..40).map(|n| metric("r", &format!("run{n:02}"), Some(1000), ("t", "acc"), 0.5, None)).collect();
    metrics.push(metric("r", "nowhere", None, ("t", "lost"), 0.5, None));
    metrics.push(metric(odd, odd, Some(1000), (odd, odd), 0.5, Some(0.1)));
    // Two releases with a run of one name.
    metrics.push(metric("s", "run00", Some(1000), ("t", "acc"), 0.75, None));
    put(directory.path(), &metrics);
    let session = session(directory.path());
    let all = Choice::default().figures(&session).unwrap();
    let acc = find(&all, "t acc, 0-shot");
    assert_eq!(acc.left_out, ["Only the first 12 of 41 runs are drawn."]);
    assert_eq!(find(&all, "t lost, 0-shot").left_out, ["Left out: 1 checkpoint without a number of tokens."]);
    let names: std::collections::BTreeSet<&String> = every(&all).map(|figure| &figure.name).collect();
    assert_eq!(names.len(), every(&all).count(), "each file has a name of its own");
    assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')));
    let text = figures_page("Checkpoint report", odd, &all, odd).unwrap();
    assert!(text.contains("There is nothing to draw.") && text.contains("r run00") && text.contains("s run00"));
    for bad in ["<script", "\u{202e}", "\u{200b}", "http"] {
        assert!(!text.contains(bad), "{bad:?}");
    }
    assert_eq!(
        page("t", None, &[Part::Figures(all.clone())]).unwrap(),
        page("t", None, &[Part::Figures(all)]).unwrap()
    );

    let none = |metrics: &[&str], runs: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Choice { metrics: owned(metrics), runs: owned(runs), interpolate: false }.figures(&session)
    };
    assert!(matches!(none(&["nothing*"], &[]), Err(ReportError::NoSuch { what: "metric", .. })));
    assert!(matches!(none(&[], &["nobody"]), Err(ReportError::NoSuch { what: "run", .. })));
    assert_eq!(every(&none(&["t/*"], &["run07"]).unwrap()).count(), 1);
}

#[test]
fn the_page_is_complete_and_can_be_viewed() {
    let directory = tempfile::tempdir().unwrap();
    tables(directory.path());
    let session = session(directory.path());
    let mut all = Choice::default().figures(&session).unwrap();
    all.extend(weights(&session, &[]).unwrap());
    let text =
        figures_page("Checkpoint report", "demo", &all, "retrace report checkpoints --tables demo -o DIR").unwrap();
    for part in [
        "aria-label=\"a: Size of the weights: ",
        "href=\"data/arc-acc-0-shot.csv\"",
        "select release, run, step",
        "<details>",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("http") && !text.contains("<script"));
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("checkpoints.html"), text).unwrap();
}
