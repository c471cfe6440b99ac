//! The document of a report: its bytes are a function of the points and the request, and it is read back whole.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use retrace_analysis::scaling::{FitError, Point, Points, Predictions, Report, Request};
use retrace_spec::recipe::scaling::{
    Bootstrap, Budget, FitOptions, Grid, LawName, LossUnit, ParamsUnit, Resampling, Tolerance,
};

fn request(laws: &[LawName]) -> Request {
    Request {
        laws: laws.to_vec(),
        fit: FitOptions::default(),
        intervals: Bootstrap { samples: 40, ..Bootstrap::default() },
        held_out: 0.2,
        cuts: 3,
        predict: vec![Budget::Compute(1e22), Budget::Model { params: 1e10, tokens: 2e11 }],
    }
}

fn points(rows: Vec<Point>) -> Points {
    Points::new(Some(ParamsUnit::Total), Some(LossUnit::NatsPerToken), rows).unwrap()
}

/// Six sizes, each a run with four checkpoints, around a law.
fn runs() -> Vec<Point> {
    let mut rows = Vec::new();
    for size in 0..6_u32 {
        for at in 1..=4_u32 {
            let params = 1e7 * f64::from(1 << size);
            let tokens = 2e9 * f64::from(at * (size + 1));
            let wobble = 1.0 + 0.003 * f64::from((size * 7 + at * 3) % 5);
            let loss = (1.7 + 400.0 * inverse(params, 0.34) + 410.0 * inverse(tokens, 0.28)) * wobble;
            rows.push(Point { run: Some(format!("run-{size}")), ..Point::new(params, tokens, loss) });
        }
    }
    rows
}

fn inverse(value: f64, power: f64) -> f64 {
    value.powf(-power)
}

fn json(report: &Report) -> String {
    serde_json::to_string(report).unwrap()
}

fn read_back(report: &Report) {
    let text = json(report);
    let again: Report = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {}", &text[e.column().saturating_sub(200)..e.column()]));
    assert_eq!(json(&again), text);
    // What a reader fits again are the points that were fitted.
    assert_eq!(again.points, report.points);
    let predictions = Predictions::of(report, "made".to_owned()).unwrap();
    let text = serde_json::to_string(&predictions).unwrap();
    assert_eq!(serde_json::from_str::<Predictions>(&text).unwrap(), predictions);
}

const LAWS: [LawName; 5] =
    [LawName::Hoffmann3, LawName::Kaplan, LawName::Hoffmann1, LawName::Hoffmann2, LawName::VariableProjection];

#[test]
fn the_threads_and_the_order_of_the_rows_change_no_byte() {
    let of = |threads: usize, rows: Vec<Point>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Report::of(points(rows), Some("words".to_owned()), request(&LAWS)).unwrap())
    };
    let (one, three) = (of(1, runs()), of(3, runs().into_iter().rev().collect()));
    assert_eq!(json(&one), json(&three));
    assert_eq!(one.fitted().count(), 4, "points of equal compute are too few for approach 2");
    read_back(&one);
    let other = Request { intervals: Bootstrap { seed: 1, samples: 40, ..Bootstrap::default() }, ..request(&LAWS) };
    assert_ne!(json(&Report::of(points(runs()), Some("words".to_owned()), other).unwrap()), json(&one));
}

#[test]
fn a_law_that_is_not_fitted_says_why_and_too_few_points_are_an_error() {
    let one_size = (1..9).map(|at| Point::new(1e8, f64::from(at) * 1e9, 4.0 - 0.1 * f64::from(at))).collect();
    let report = Report::of(points(one_size), None, request(&LAWS[..2])).unwrap();
    assert!(report.laws.iter().all(|law| law.failed.as_ref().unwrap().contains("same params")));
    read_back(&report);
    let three = runs().into_iter().take(3).collect();
    let error = Report::of(points(three), None, request(&[LawName::Kaplan, LawName::Hoffmann3])).unwrap_err();
    assert_eq!(error, FitError::TooFew { law: LawName::Kaplan, points: 3, parameters: 4 });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Points of no law, of any size: no number of the document is one that JSON has not.
    #[test]
    fn any_points_give_a_document_that_is_read_back(
        rows in prop::collection::vec((-90.0..90.0_f64, -90.0..90.0_f64, -40.0..40.0_f64, 0..4_u32), 7..20),
        flops in any::<bool>(),
        absolute in any::<bool>(),
    ) {
        let row = |(params, tokens, loss, run): &(f64, f64, f64, u32)| Point {
            run: (*run > 0).then(|| run.to_string()),
            flops: flops.then(|| 1e3 * tokens.exp()),
            ..Point::new(params.exp(), tokens.exp(), loss.exp())
        };
        let rows: Vec<Point> = rows.iter().map(row).collect();
        let quick = |law: LawName, start: &[f64]| {
            let tolerance = if absolute { Tolerance::Absolute(1e-6) } else { Tolerance::Relative(1e-8) };
            let fit = FitOptions { grid: Grid::one(law, start), updates: 50, tolerance, ..FitOptions::default() };
            Request {
                fit,
                intervals: Bootstrap { by: Resampling::Case, samples: 5, ..Bootstrap::default() },
                ..request(&[law])
            }
        };
        for request in [
            quick(LawName::Hoffmann3, &[1.7, 400.0, 400.0, 0.34, 0.28]),
            quick(LawName::Kaplan, &[1e13, 1e13, 0.08, 0.1]),
            quick(LawName::Neo, &[1.7, 400.0, 400.0, 0.34, 0.28, 0.02]),
            request(&[LawName::Hoffmann1, LawName::Hoffmann2, LawName::VariableProjection]),
        ] {
            read_back(&Report::of(points(rows.clone()), None, request).unwrap());
        }
    }
}
