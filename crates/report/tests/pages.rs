//! A page from the tables of an invented release. Afterwards the page is in Cargo's directory for tests' files
//! (`target/tmp/release.html`), for viewing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use retrace_analysis::contamination::{Method, Verdict as ItemVerdict};
use retrace_analysis::scaling::{Point, Points, Report, Request};
use retrace_manifest::{Comparison, Entry, Verdict, Verification};
use retrace_query::Session;
use retrace_report::contamination::{ContaminationCounts, FalseAlarms, Rate, RunExposure, Share};
use retrace_report::{Checked, CheckedReplay, Cleaning, Part, ScalingPage, page, scaling_page};
use retrace_spec::manifest::{Artifact, ArtifactKind, GraphStep, Output, Reference, StepKind};
use retrace_spec::recipe::scaling::{Bootstrap, FitOptions, Grid, LawName, LossUnit, ParamsUnit};
use retrace_spec::{Digest, Manifest, RelPath, Step, Tokens};
use retrace_tables::{Checkpoint, Contamination, Exposure, Metric, Sample, TrainLog};

/// Runs, parameters and the number of tokens that they are trained on.
const RUNS: [(&str, u64); 3] = [("tiny", 168_000), ("small", 410_000), ("base", 1_120_000)];
const STEPS: u64 = 240;
const EVERY: u64 = 40;
const BATCH: u64 = 2048;

/// The law that the invented losses follow, in bits per byte.
fn law(params: u64, tokens: u64) -> f64 {
    0.9 + 40.0 / (params as f64).powf(0.31) + 150.0 / (tokens as f64).powf(0.42)
}

/// A number between -1 and 1 that looks random.
fn noise(seed: u64) -> f64 {
    let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / (1u64 << 23) as f64 - 1.0
}

fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

fn manifest() -> Manifest {
    let files = [
        ("clean.yaml", ArtifactKind::Config),
        ("clean/en-0.jsonl", ArtifactKind::Shard),
        ("clean/ledger.jsonl", ArtifactKind::Log),
        ("generate.yaml", ArtifactKind::Config),
        ("raw/en-0.jsonl", ArtifactKind::Shard),
        ("runs/base.yaml", ArtifactKind::Config),
        ("runs/base/step-000240/model.safetensors", ArtifactKind::Checkpoint),
        ("runs/base/step-000240/optimizer.safetensors", ArtifactKind::Checkpoint),
        ("runs/base/journal.jsonl", ArtifactKind::Log),
        ("tokenize.yaml", ArtifactKind::Config),
        ("tokenizer/tokenizer.json", ArtifactKind::Tokenizer),
        ("tokens/general-en.tokens", ArtifactKind::Tokens),
    ];
    let artifact = |(at, (name, kind)): (usize, &(&str, ArtifactKind))| Artifact {
        path: path(name),
        kind: *kind,
        size: 900 * 7u64.pow(at as u32 % 6),
        digest: Digest::of(name.as_bytes()),
        sha256: None,
        slices: Vec::new(),
        tensors: None,
    };
    let step = |id: &str, kind, config: &str, inputs: &[&str], outputs: &[(&str, ArtifactKind)]| GraphStep {
        id: id.to_owned(),
        kind,
        numerics: (kind == StepKind::Train).then_some(1),
        config: Some(path(config)),
        inputs: inputs.iter().map(|p| Reference { path: path(p), digest: Digest::of(p.as_bytes()) }).collect(),
        outputs: outputs
            .iter()
            .map(|(p, kind)| Output { path: path(p), kind: *kind, digest: Digest::of(p.as_bytes()) })
            .collect(),
        incomplete: None,
    };
    let steps = vec![
        step("train-base", StepKind::Train, "runs/base.yaml", &["tokens/general-en.tokens"], &[files[6], files[7]]),
        step("tokenize", StepKind::Tokenize, "tokenize.yaml", &["clean/en-0.jsonl"], &[files[10], files[11]]),
        step("clean", StepKind::Clean, "clean.yaml", &["raw/en-0.jsonl"], &[files[1], files[2]]),
        step("generate", StepKind::Generate, "generate.yaml", &[], &[files[4]]),
    ];
    Manifest::new("tour", "retrace", Vec::new(), files.iter().enumerate().map(artifact).collect(), steps).unwrap()
}

fn write_tables(directory: &Path) {
    let tables = directory.join("tables");
    let (mut logs, mut metrics, mut checkpoints, mut samples) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, (run, parameters)) in RUNS.into_iter().enumerate() {
        for step in 1..=STEPS {
            let at = 1000 * number as u64 + step;
            let warm = 4.4 * (-(step as f64) / 12.0).exp();
            logs.push(TrainLog {
                release: "tour".to_owned(),
                run: run.to_owned(),
                step: Step(step),
                tokens: Some(Tokens(step * BATCH)),
                phase: Some(if step <= 180 { "fundamental" } else { "decay" }.to_owned()),
                learning_rate: Some(4e-3),
                loss: Some(
                    1.6 * law(parameters, step * BATCH) + warm * 0.4 + 0.08 * noise(at)
                        - if step > 180 { 0.15 } else { 0.0 },
                ),
                grad_norm: Some(1.0),
                source: format!("runs/{run}/journal.jsonl"),
                place: format!("line {step}"),
                time: None,
            });
        }
        for step in (0..=STEPS).step_by(EVERY as usize) {
            let tokens = Tokens(step * BATCH);
            checkpoints.push(Checkpoint {
                release: "tour".to_owned(),
                run: run.to_owned(),
                label: format!("step-{step:06}"),
                step: Some(Step(step)),
                tokens: Some(tokens),
                parameters: Some(parameters),
                path: format!("runs/{run}/step-{step:06}"),
                state: Some(Digest::of(run.as_bytes())),
                source: format!("runs/{run}/step-{step:06}/state.json"),
                place: "/state".to_owned(),
            });
            let mut metric = |task: &str, name: &str, value: f64, stderr| {
                metrics.push(Metric {
                    release: "tour".to_owned(),
                    run: run.to_owned(),
                    step: Some(Step(step)),
                    tokens: Some(tokens),
                    task: task.to_owned(),
                    shots: Some(0),
                    metric: name.to_owned(),
                    value,
                    stderr,
                    source: format!("eval/{run}-{step:06}.json"),
                    place: format!("/results/{task}/{name},none"),
                    is_group: None,
                    time: None,
                });
            };
            let loss = if step == 0 { 3.4 } else { law(parameters, step * BATCH) };
            metric("heldout-en", "bits_per_byte", loss + 0.05, None);
            metric("heldout-zh", "bits_per_byte", loss - 0.05, None);
            for (task, items) in [("facts-en", 60u64), ("facts-zh", 40)] {
                let accuracy = 0.25 + 0.4 * (step as f64 / 240.0) * (number + 1) as f64 / 3.0;
                let stderr = (accuracy * (1.0 - accuracy) / items as f64).sqrt();
                metric(task, "acc", accuracy, Some(stderr));
                metric(task, "acc_norm", accuracy - 0.02, Some(stderr));
                for item in 0..items {
                    samples.push(Sample {
                        release: "tour".to_owned(),
                        run: run.to_owned(),
                        step: Some(Step(step)),
                        task: task.to_owned(),
                        item: format!("{task}-{item:03}"),
                        // Of the first six, which the corpus contains, five are correct at the end.
                        correct: Some(if step == STEPS {
                            item % 6 != 1 && (item < 6 || item % 2 == 0)
                        } else {
                            item % 4 == 0
                        }),
                        log_likelihood: Some(-3.0),
                        source: format!("eval/{run}-{step:06}.json"),
                        place: format!("/samples/{task}/{item}"),
                        filter: None,
                        shots: None,
                    });
                }
            }
        }
    }
    let found = |item: u64, line: u64, verdict: &str, score: f64| Contamination {
        benchmark: "facts-en".to_owned(),
        subset: None,
        item: format!("facts-en-{item:03}"),
        method: "spans".to_owned(),
        verdict: verdict.to_owned(),
        score,
        part: "question".to_owned(),
        parts: "question answer".to_owned(),
        form: "normalised".to_owned(),
        with_answer: item == 0,
        document: format!("en-general-{line:05}"),
        shard: "clean/en-0.jsonl".to_owned(),
        line,
        language: Some("en".to_owned()),
        origin: Some("general".to_owned()),
        item_text: "Which river?".to_owned(),
        item_spans: "question: 0-12".to_owned(),
        excerpt: None,
        excerpt_start: None,
        document_spans: "5-17".to_owned(),
        left_out: 0,
    };
    // Items 0 to 5 leak, item 0 in two documents; item 9 does not.
    let mut contamination: Vec<Contamination> =
        (0..6).map(|item| found(item, 10 * (item + 1), "leak", 1.0 - 0.05 * item as f64)).collect();
    contamination.push(found(0, 7, "leak", 0.8));
    contamination.push(found(9, 8, "near_miss", 0.4));
    // Run `base` used the documents of items 0 to 4, `tiny` only the second one of item 0; nobody that of item 5.
    let used = |run: &str, line: u64, step: u64| Exposure {
        run: run.to_owned(),
        document: format!("en-general-{line:05}"),
        shard: "clean/en-0.jsonl".to_owned(),
        line,
        step: Step(step),
    };
    let mut exposures = vec![used("tiny", 7, 90), used("tiny", 7, 20), used("base", 10, 200), used("base", 7, 62)];
    exposures.extend((0..5).map(|item| used("base", 10 * (item + 1), 31 * (item + 1))));
    retrace_tables::write(&tables, &exposures).unwrap();
    retrace_tables::write(&tables, &logs).unwrap();
    retrace_tables::write(&tables, &metrics).unwrap();
    retrace_tables::write(&tables, &checkpoints).unwrap();
    retrace_tables::write(&tables, &samples).unwrap();
    retrace_tables::write(&tables, &contamination).unwrap();
}

/// The result of cleaning, counts of the benchmarks, and the accuracy of guessing.
fn cleaning() -> Cleaning {
    let dropped = [
        ("characters", 61),
        ("symbols", 40),
        ("repeated_lines", 88),
        ("boilerplate", 120),
        ("script", 75),
        ("duplicate", 155),
    ];
    let dropped = dropped.map(|(rule, count)| (rule.to_owned(), count)).to_vec();
    Cleaning { documents: 3210, kept: 2671, cut: 0, dropped }
}

fn counts() -> ContaminationCounts {
    let rate = |benchmark: &str, items: u64, leaked: u64, others: &[(ItemVerdict, u64)]| Rate {
        method: Method::Spans,
        benchmark: benchmark.to_owned(),
        subset: None,
        leaked: Share::new(leaked, items),
        with_answer: u64::from(leaked > 0),
        verdicts: [(ItemVerdict::Leak, leaked)].iter().chain(others).copied().collect(),
        nothing: items - leaked - others.iter().map(|(_, count)| count).sum::<u64>(),
        not_searched: 0,
    };
    let alarms = |benchmark: &str, of: u64| FalseAlarms {
        method: Method::Spans,
        made: "shuffled".to_owned(),
        benchmark: benchmark.to_owned(),
        flagged: Share::new(0, of),
    };
    ContaminationCounts {
        methods: vec![Method::Spans],
        documents: 2671,
        rates: vec![
            rate("facts-en", 60, 6, &[(ItemVerdict::NearMiss, 1)]),
            rate("facts-zh", 40, 0, &[(ItemVerdict::TooShort, 3)]),
        ],
        false_alarms: Some(vec![alarms("facts-en", 60), alarms("facts-zh", 40)]),
        left_out: Vec::new(),
        runs: vec![
            RunExposure { run: "base".to_owned(), documents: 7, used: 6, absent: 0, unsearched: 0 },
            RunExposure { run: "tiny".to_owned(), documents: 7, used: 1, absent: 2, unsearched: 1 },
        ],
    }
}

fn scaling() -> Report {
    let of = |(run, params): (&str, u64)| {
        let tokens = (1..=6).map(|n| n * EVERY * BATCH);
        let point = |tokens: u64| Point {
            run: Some(run.to_owned()),
            ..Point::new(params as f64, tokens as f64, law(params, tokens))
        };
        tokens.map(point).collect::<Vec<_>>()
    };
    report(RUNS.into_iter().flat_map(of).collect(), LawName::Hoffmann3)
}

/// A law fitted to points, from one start.
fn report(rows: Vec<Point>, law: LawName) -> Report {
    let points = Points::new(Some(ParamsUnit::Total), Some(LossUnit::BitsPerByte), rows).unwrap();
    let request = Request {
        laws: vec![law],
        fit: FitOptions { grid: Grid::one(law, &[0.9, 40.0, 150.0, 0.31, 0.42]), ..FitOptions::default() },
        intervals: Bootstrap { samples: 20, ..Bootstrap::default() },
        held_out: 0.2,
        cuts: 2,
        predict: Vec::new(),
    };
    Report::of(points, Some("mean of heldout-en and heldout-zh".to_owned()), request).unwrap()
}

/// The parts of a page from the tables in `directory`.
fn parts(directory: &Path) -> Vec<Part> {
    let session = Session::open(&[directory.to_owned()]).unwrap();
    let chance = [("facts-en", 0.25), ("facts-zh", 0.25)].map(|(task, p)| (task.to_owned(), p)).into();
    vec![
        Part::training(&session).unwrap(),
        Part::evaluation(&session, &chance).unwrap(),
        Part::Scaling(scaling().into()),
        Part::Cleaning(cleaning()),
        Part::contamination(&session, counts()).unwrap(),
    ]
}

fn replayed(findings: &[&str]) -> CheckedReplay {
    let finding = |what: &&str| retrace_train::Finding {
        kind: retrace_train::DifferenceKind::Arithmetic,
        step: Step(131),
        what: (*what).to_owned(),
        places: Vec::new(),
        element: None,
    };
    let findings = findings.iter().map(finding).collect();
    let (from, to) = (Step(120), Step(160));
    let checkpoints = vec![Step(140), Step(160)];
    let replay = retrace_train::Replay { from, to, reached: to, checkpoints, findings };
    CheckedReplay { step: "train-base".to_owned(), engine: "candle".to_owned(), replay }
}

fn comparison(identical: usize, different: &[&str], missing: &[&str], extra: &[&str]) -> Comparison {
    let paths = |texts: &[&str]| texts.iter().map(|text| path(text)).collect::<Vec<_>>();
    let identical = (0..identical).map(|at| path(&format!("f{at}"))).collect();
    Comparison { identical, different: paths(different), missing: paths(missing), extra: paths(extra) }
}

fn entry(at: &str, verdict: Verdict, diagnosis: &str) -> Entry {
    Entry { path: path(at), verdict, diagnosis: diagnosis.to_owned(), was: None, size: None, tensors: Vec::new() }
}

fn verification(verified: usize, findings: Vec<Entry>) -> Verification {
    let good = (0..verified).map(|at| entry(&format!("f{at}"), Verdict::Verified, ""));
    Verification { entries: good.chain(findings).collect(), checkpoints: Vec::new(), bytes: None }
}

#[test]
fn the_tables_fill_the_page() {
    let directory = tempfile::tempdir().unwrap();
    write_tables(directory.path());
    let parts = parts(directory.path());

    // Computed by hand from the data above.
    let [Part::Training(losses), Part::Evaluation(metrics), .., Part::Contamination(found)] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    let runs: Vec<(&str, Option<u64>, usize)> =
        losses.iter().map(|loss| (loss.run.as_str(), loss.params, loss.points.len())).collect();
    assert_eq!(runs, [("tiny", Some(168_000), 240), ("small", Some(410_000), 240), ("base", Some(1_120_000), 240)]);
    assert_eq!(losses[0].phases, [("decay".to_owned(), (180 * BATCH) as f64)]);
    assert_eq!(metrics.len(), 6);
    let accuracy = metrics.iter().find(|of| of.task == "facts-en" && of.metric == "acc").unwrap();
    assert_eq!((accuracy.chance, accuracy.runs.len(), accuracy.runs[0].points.len()), (Some(0.25), 3, 7));
    let [en] = found.benchmarks.as_slice() else { panic!("{found:?}") };
    assert_eq!((en.benchmark.as_str(), en.items), ("facts-en", 6));
    let first: Vec<_> = en.first.iter().map(|of| (of.run.as_str(), of.items, of.first, of.all)).collect();
    // By size. Run `base` saw item 0 at 31, and the others at 62, 93, 124 and 155.
    assert_eq!(first, [("tiny", 1, 20, 20), ("base", 5, 31, 155)]);
    assert_eq!(en.examples[0].seen, Some(("tiny".to_owned(), 20)));
    assert_eq!(
        en.examples.iter().map(|e| e.item.as_str()).collect::<Vec<_>>(),
        ["facts-en-000", "facts-en-001", "facts-en-002", "facts-en-003", "facts-en-004"]
    );
    let base = en.accuracy.iter().find(|split| split.run == "base").unwrap();
    // Of items 6 to 59 the even ones are correct, except those with remainder 1 modulo 6, which are odd.
    assert_eq!((base.step, base.leaked, base.clean), (240, (6, 5), (54, 27)));

    let (manifest, comparison, verification) =
        (manifest(), comparison(143, &[], &[], &[]), verification(143, Vec::new()));
    let replays = [replayed(&[])];
    let checked = Checked {
        manifest: &manifest,
        comparison: Some(&comparison),
        verification: Some(&verification),
        replays: &replays,
    };
    let text = page("tour", Some(&checked), &parts).unwrap();
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("release.html"), &text).unwrap();
    for words in [
        "Everything that was checked holds.",
        "All 143 artifacts are identical to the published release.",
        "Computing steps 121 to 160 of train-base again gave the same bits.",
        "The engine was candle.",
        "--from 120 --to 160 --engine candle",
        "2,671 of 3,210 documents were kept",
        "6 benchmark items leak: a document of the corpus has them.",
        "10\u{a0}% (4.7\u{a0}% to 20.1\u{a0}%)",
        "in no token shard of a run",
        "1 shard that tiny was trained on was not searched",
        "near miss 1",
        "12 sealed files",
    ] {
        assert!(text.contains(words), "{words}");
    }
    // Each step after those that make its inputs.
    let places: Vec<usize> = ["generate", "clean", "tokenize", "train-base"]
        .map(|id| text.find(&format!("<strong>{id}</strong>")).unwrap())
        .to_vec();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(text.matches("<svg ").count(), 6, "loss, four metrics, scaling");
    for elsewhere in ["http", "<script", "<link", "@import", "url(", "src="] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
    let alone = page("tour", None, &parts).unwrap();
    assert!(!alone.contains("Root digest") && !alone.contains("How it was made") && alone.contains("Evaluation"));
}

#[test]
fn what_was_found_is_told_and_what_was_not_checked_too() {
    let manifest = manifest();
    let nothing = Checked { manifest: &manifest, comparison: None, verification: None, replays: &[] };
    let open = page("r", Some(&nothing), &[]).unwrap();
    assert!(open.contains("Nothing was checked yet.") && open.contains("Not compared with a published release."));
    assert!(open.contains("How it was made") && !open.contains("<svg"));
    let comparison = comparison(140, &["runs/base/journal.jsonl"], &["a<b"], &["new"]);
    let changed =
        entry("clean/en-0.jsonl", Verdict::Changed, "it has 7 bytes and should have 900: it may be truncated");
    let verification = verification(141, vec![changed]);
    let replays = [replayed(&["the loss is 2.3456, and the journal has 2.3457"])];
    let checked = Checked {
        manifest: &manifest,
        comparison: Some(&comparison),
        verification: Some(&verification),
        replays: &replays,
    };
    let text = page("<script>alert(1)</script>", Some(&checked), &[]).unwrap();
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("findings.html"), &text).unwrap();
    for words in [
        "3 checks found differences.",
        "140 of 142 artifacts are identical",
        "1 missing: <code>a&lt;b</code>",
        "141 files have the bytes that the manifest says; 1 is not as sealed.",
        "it may be truncated",
        "gave other bits",
        "step 131",
    ] {
        assert!(text.contains(words), "{words}");
    }
    assert!(!text.contains("<script"));
}

#[test]
fn what_is_no_law_is_not_drawn_as_one() {
    let text = page("r", None, &[Part::Scaling(scaling().into())]).unwrap();
    assert!(text.contains("dashed lines the first law") && text.contains("Compute-optimal models"));
    // The law of these losses has α = -0.2: a larger model is worse.
    let loss = |params: f64, tokens: f64| 0.5 + 0.05 * params.powf(0.2) + 100.0 * tokens.powf(-0.4);
    let rows = [1e6, 2e6, 4e6, 8e6, 16e6].into_iter().flat_map(|params| {
        (1..5).map(move |n| f64::from(n) * 1e8).map(move |tokens| Point::new(params, tokens, loss(params, tokens)))
    });
    let none = report(rows.collect(), LawName::Hoffmann3);
    let text = page("r", None, &[Part::Scaling(none.into())]).unwrap();
    assert!(text.contains("These points follow no such law.") && !text.contains("dashed lines the first law"));
    assert!(!text.contains("Compute-optimal models"));
    let rows = (1..9).map(|n| Point::new(1e6, f64::from(n) * 1e6, 4.0 - 0.1 * f64::from(n))).collect();
    let text = page("r", None, &[Part::Scaling(report(rows, LawName::Hoffmann3).into())]).unwrap();
    assert!(text.contains("Not fitted: all points have the same params"));
}

/// What the page says in tables, its Markdown says too; the points are there to be fitted again.
#[test]
fn the_page_of_a_law_and_its_markdown_say_the_same() {
    let report = scaling();
    let ScalingPage { html, markdown, data } = scaling_page("loss", &report, "retrace report <scaling>").unwrap();
    let cells = |text: &str, from: &str, to: &str| -> Vec<String> {
        text.split(from).skip(1).filter_map(|rest| Some(rest.split_once(to)?.0.trim().to_owned())).collect()
    };
    let plain = |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let of_page: Vec<String> =
        cells(&html, "<td", "</td>").iter().filter_map(|cell| Some(plain(cell.split_once('>')?.1))).collect();
    let rows = markdown.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let of_markdown: Vec<String> = rows
        .flat_map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    assert!(of_page.len() > 20 && of_page.iter().all(|cell| of_markdown.contains(cell)), "{of_page:?} {of_markdown:?}");
    for heading in cells(&html, "<h2>", "</h2>") {
        assert!(markdown.contains(&format!("## {heading}\n")), "{heading}");
    }
    assert!(markdown.starts_with("# Scaling report\n") && markdown.contains("retrace report <scaling>"));
    let points = &data["points.csv"];
    assert_eq!(points.lines().next(), Some("run,params_total,tokens,loss_bits_per_byte"));
    assert_eq!(points.lines().count(), 1 + report.points.rows().len());
    for file in data.keys() {
        assert!(html.contains(&format!("href=\"{file}\"")), "{file}");
    }
}

/// Ends a text, an attribute or a tag, and begins an active element; reverses the text; clears a terminal.
const HOSTILE: &str = "</title></style></text>\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;javascript:x\u{202e}\u{1b}[2J\u{9b}\u{200b}\u{2028}";

/// Asserts that a page or drawing has no tag, attribute or character from an untrusted text.
fn is_harmless(page: &str) {
    let lower = page.to_lowercase();
    for tag in ["<script", "<img", "<a ", "<iframe", "<foreignobject", "<!entity"] {
        assert!(!lower.contains(tag), "{tag} is in the page");
    }
    // The content of tags has no handler and no address, except in a quoted text.
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let bare: String = tag.split('"').step_by(2).collect();
        assert!(tag.matches('"').count() % 2 == 0 && !bare.contains("onerror") && !bare.contains("alert"), "<{tag}>");
        assert!(!bare.contains("href") && !bare.contains("src"), "<{tag}>");
    }
    let hidden = |c: &char| (c.is_control() && *c != '\n') || "\u{202e}\u{200b}\u{2028}".contains(*c);
    assert_eq!(page.chars().find(hidden), None);
}

#[test]
fn hostile_names_are_texts() {
    let name = || HOSTILE.to_owned();
    let points: Vec<(f64, f64)> = (1..9).map(|n| (f64::from(n) * 1000.0, 1.0 + 1.0 / f64::from(n))).collect();
    use retrace_report::release as of;
    let mut manifest = manifest();
    // Fewer characters are possible in a path.
    let at = "<script>alert(1)<img src=x onerror=alert(1)>\u{202e}\u{200b}";
    manifest.artifacts[0].path = path(at);
    manifest.steps[0].id = name();
    manifest.steps[1].config = Some(path(at));
    let comparison = comparison(1, &[at], &[at], &[at]);
    let verification = verification(1, vec![entry(at, Verdict::Changed, HOSTILE)]);
    let replays = [CheckedReplay { step: name(), engine: name(), ..replayed(&[HOSTILE]) }];
    let checked = Checked {
        manifest: &manifest,
        comparison: Some(&comparison),
        verification: Some(&verification),
        replays: &replays,
    };
    let mut law = scaling();
    let rows = law.points.rows().iter().map(|point| Point { run: Some(name()), ..point.clone() }).collect();
    law.points = Points::new(law.points.params_unit(), law.points.loss_unit(), rows).unwrap();
    law.loss = Some(name());
    law.laws[0].warnings[0].text = name();
    law.laws[0].failed = Some(name());
    let parts = [
        Part::Training(vec![of::Loss {
            run: name(),
            params: None,
            points: points.clone(),
            phases: vec![(name(), 3000.0)],
        }]),
        Part::Evaluation(vec![of::MetricOverTokens {
            task: name(),
            metric: name(),
            chance: Some(0.5),
            runs: vec![of::MetricOfRun { run: name(), points, errors: Vec::new() }],
        }]),
        Part::Scaling(law.into()),
        Part::Cleaning(Cleaning { documents: 2, kept: 1, cut: 1, dropped: vec![(name(), 1)] }),
        Part::Contamination(of::Contaminated {
            counts: ContaminationCounts {
                rates: vec![Rate { benchmark: name(), ..counts().rates[0].clone() }],
                runs: vec![RunExposure { run: name(), documents: 1, used: 0, absent: 1, unsearched: 1 }],
                ..counts()
            },
            benchmarks: vec![of::Leaks {
                benchmark: name(),
                items: 1,
                first: vec![of::FirstSeen { run: name(), items: 1, first: 1, all: 1 }],
                examples: vec![of::Example {
                    item: name(),
                    document: name(),
                    place: name(),
                    score: 1.0,
                    with_answer: true,
                    seen: Some((name(), 1)),
                }],
                accuracy: vec![of::Split { run: name(), step: 1, leaked: (1, 1), clean: (1, 0) }],
            }],
        }),
    ];
    let text = page(HOSTILE, Some(&checked), &parts).unwrap();
    is_harmless(&text);
    for shown in ["&lt;script&gt;", "\\u{202e}", "\\u{1b}[2J", "\\u{9b}"] {
        assert!(text.contains(shown), "{shown} is not in the page");
    }
}

#[test]
fn hostile_answers_make_harmless_drawings() {
    let session = Session::open(&[]).unwrap();
    let (text, column) = (HOSTILE.replace('\'', "''"), HOSTILE.replace('"', "\"\""));
    for sql in [
        format!("select * from (values ('{text}', 1.5), ('b', 2.5)) as t (run, \"{column}\")"),
        format!(
            "select * from (values (1, 'a{text}', 1.5), (2, 'a{text}', 2.5), (1, 'b', 1.0)) as t (step, run, \"{column}\")"
        ),
        format!("select 1 as \"{column}\", 2 as \"x{column}\""),
    ] {
        let drawn = retrace_report::plot::of_answer(&session.run(&sql).unwrap(), HOSTILE).unwrap();
        is_harmless(&drawn.svg.replace(" xmlns=\"http://www.w3.org/2000/svg\"", ""));
        assert!(drawn.svg.contains("\\u{") && drawn.svg.contains("&lt;script"), "{}", drawn.svg);
        assert!(retrace_report::plot::png(&drawn.svg, &|_| None).unwrap().bytes.starts_with(b"\x89PNG"));
    }
}
