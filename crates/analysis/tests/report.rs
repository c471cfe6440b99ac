//! The document of a report: its bytes are a function of the points and the request, and it is read back whole.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use retrace_analysis::scaling::{CheckError, FitError, Incomparable, Point, Points, Predictions, Report, Request};
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

/// Predictions of 1e10 parameters after 2e11 tokens, or of what is given, from the points of [`runs`].
fn predictions(law: LawName, by: Resampling, predict: Vec<Budget>) -> Predictions {
    let intervals = Bootstrap { by, samples: 40, ..Bootstrap::default() };
    let fit = FitOptions { grid: Grid::one(LawName::VariableProjection, &[0.34, 0.28]), ..FitOptions::default() };
    let fit = if law == LawName::VariableProjection { fit } else { FitOptions::default() };
    let request = Request { fit, intervals, predict, cuts: 0, ..request(&[law]) };
    Predictions::of(&Report::of(points(runs()), None, request).unwrap(), "made".to_owned()).unwrap()
}

const LAW: LawName = LawName::VariableProjection;
const LATER: Budget = Budget::Model { params: 1e10, tokens: 2e11 };

/// A point with a run.
fn of_run(run: &str, params: f64, tokens: f64, loss: f64) -> Point {
    Point { run: Some(run.to_owned()), ..Point::new(params, tokens, loss) }
}

#[test]
fn a_prediction_is_not_compared_with_points_that_were_fitted() {
    let fitted = runs()[9].clone();
    let made = predictions(LAW, Resampling::Run, vec![Budget::Model { params: fitted.params, tokens: fitted.tokens }]);
    let check = |rows: Vec<Point>| made.check(&points(rows));
    let unlike = Point::new(9e11, 9e12, 2.0);
    // Also if rows are left out or added, the run has another name, or the numbers were written with six digits.
    let fewer = runs().into_iter().skip(1).collect();
    let renamed = runs().into_iter().map(|p| Point { run: None, seed: Some(3), ..p }).collect();
    let six = |value: f64| format!("{value:.5e}").parse::<f64>().unwrap();
    let rounded = runs().into_iter().map(|p| Point::new(six(p.params), six(p.tokens), six(p.loss))).collect();
    for rows in [runs(), fewer, renamed, rounded] {
        assert!(matches!(check(rows), Err(CheckError::SamePoints)));
    }
    let more = || runs().into_iter().chain([unlike.clone()]);
    let error = check(more().collect()).unwrap_err();
    assert!(matches!(&error, CheckError::Nothing(why) if *why == [Incomparable::Fitted]), "{error}");
    // The same model trained again is compared, and it alone.
    let again = Point { loss: fitted.loss * 1.2, ..fitted };
    let checks = check(more().chain([again.clone()]).collect()).unwrap();
    assert_eq!((checks.compared.len(), checks.fitted), (1, 24));
    assert!(checks.compared[0].point == again && !checks.compared[0].inside, "{:?}", checks.compared);
}

#[test]
fn every_run_is_compared_at_its_nearest_point() {
    let made = predictions(LAW, Resampling::Run, vec![LATER]);
    let said = made.predictions[0].said.as_ref().unwrap().loss.unwrap();
    let check = |rows: Vec<Point>| made.check(&points(rows)).unwrap().compared;
    let seeds = [(2.01e11, 1.0), (2e11, 1.2), (1.99e11, 1.3)].map(|(tokens, off)| Point::new(1e10, tokens, said * off));
    let found = check(seeds.to_vec());
    assert_eq!(found.iter().map(|of| of.inside).collect::<Vec<_>>().iter().filter(|inside| **inside).count(), 1);
    assert_eq!(found.len(), 3, "{found:?}");
    // One run: the point at the predicted tokens, not the better one before it; another run and a seed on their own.
    let along =
        vec![of_run("a", 1e10, 1.97e11, said), of_run("a", 1e10, 2e11, said * 1.2), of_run("b", 1e10, 2e11, said)];
    let found: Vec<(Option<String>, f64)> = check(along).into_iter().map(|of| (of.point.run, of.observed)).collect();
    assert_eq!(found, [(Some("b".to_owned()), said), (Some("a".to_owned()), said * 1.2)]);
    let two = [1, 2].map(|seed| Point { seed: Some(seed), ..of_run("a", 1e10, 2e11, said) });
    assert_eq!(check(two.to_vec()).len(), 2);
}

#[test]
fn a_compute_is_compared_with_models_near_the_predicted_one() {
    let made = predictions(LAW, Resampling::Run, vec![Budget::Compute(1e20)]);
    let said = made.predictions[0].said.clone().unwrap();
    let at = |factor: f64| Point::new(said.params * factor, said.tokens / factor, said.loss.unwrap());
    let error = made.check(&points(vec![at(0.2)])).unwrap_err();
    assert!(matches!(&error, CheckError::Nothing(why) if *why == [Incomparable::Shape]), "{error}");
    let checks = made.check(&points(vec![at(0.2), at(1.1), at(0.9)])).unwrap();
    assert_eq!((checks.compared.len(), checks.other_shape), (2, vec![at(0.2)]));
}

#[test]
fn what_cannot_be_compared_says_why() {
    let later = points(vec![Point::new(1e10, 2e11, 2.1)]);
    let why = |made: Predictions| match made.check(&later).unwrap_err() {
        CheckError::Nothing(why) => why,
        error => panic!("{error}"),
    };
    let compute = vec![Budget::Compute(1.2e22)];
    assert_eq!(why(predictions(LawName::Hoffmann1, Resampling::Run, compute)), [Incomparable::NoLoss]);
    assert_eq!(why(predictions(LAW, Resampling::None, vec![LATER])), [Incomparable::NoInterval]);
    let other = Budget::Model { params: 1e11, tokens: 2e11 };
    assert_eq!(why(predictions(LAW, Resampling::Run, vec![other])), [Incomparable::NoModel]);
    let checks = predictions(LAW, Resampling::Run, vec![LATER, other]).check(&later).unwrap();
    assert_eq!(checks.not_compared.iter().map(|of| of.why).collect::<Vec<_>>(), [Incomparable::NoModel]);
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
