//! Scaling laws: what made the points is found again, and others' programs find the same.

#![allow(clippy::unwrap_used)]

use retrace_analysis::scaling::{
    Fit, FitError, Point, Points, Warning, bootstrap, compare, distance, fit, hold_out_compute, leave_largest_out,
    off_centre, rolling,
};
use retrace_numerics::isa::{Isa, force};
use retrace_spec::recipe::scaling::{
    Bootstrap, Budget, FitOptions, Grid, LawName, LossUnit, ParamsUnit, Reduction, Resampling, Tolerance,
};

/// Besiroglu et al. (2024): E, A, B, α, β.
const PUBLISHED: [f64; 5] = [1.8172, 482.01, 2085.43, 0.3478, 0.3658];

fn additive([e, a, b, alpha, beta]: [f64; 5]) -> impl Fn(f64, f64) -> f64 {
    move |n, d| e + a * n.powf(-alpha) + b * d.powf(-beta)
}

/// 30 points of a law: six sizes, five numbers of tokens per parameter, with noise in the log loss from a fixed sequence
/// (Park and Miller's generator; the sum of three draws is sufficiently close to a normal distribution).
fn rows(law: impl Fn(f64, f64) -> f64, noise: f64) -> Vec<Point> {
    let (mut rows, mut state) = (Vec::new(), 1u64);
    for params in [4.4e7_f64, 1.5e8, 4e8, 1.2e9, 3e9, 1e10] {
        for multiple in [2.0, 5.0, 20.0, 80.0, 200.0] {
            let mut bell = 0.0;
            for _ in 0..3 {
                state = state * 48271 % 2_147_483_647;
                bell += state as f64 / 2_147_483_647.0 - 0.5;
            }
            let tokens = multiple * params;
            rows.push(Point::new(params, tokens, law(params, tokens) * (noise * 2.0 * bell).exp()));
        }
    }
    rows
}

fn points(rows: Vec<Point>) -> Points {
    Points::new(Some(ParamsUnit::NonEmbedding), Some(LossUnit::NatsPerToken), rows).unwrap()
}

fn fitted(rows: Vec<Point>, law: LawName) -> Fit {
    fit(&points(rows), law, &FitOptions::default()).unwrap()
}

#[track_caller]
fn near(found: f64, expected: f64, relative: f64, what: &str) {
    assert!((found / expected - 1.0).abs() <= relative, "{what}: {found}, not {expected}");
}

#[track_caller]
fn all_near(fit: &Fit, expected: &[f64], relative: f64) {
    for ((name, found), expected) in fit.law.parameters().iter().zip(fit.values()).zip(expected) {
        near(found, *expected, relative, name);
    }
}

#[test]
fn exact_points_give_the_law_that_made_them() {
    for truth in [[1.69, 406.4, 410.7, 0.34, 0.28], [0.5, 30.0, 3000.0, 0.2, 0.45]] {
        for law in [LawName::Hoffmann3, LawName::VariableProjection] {
            let fit = fitted(rows(additive(truth), 0.0), law);
            all_near(&fit, &truth, 1e-4);
            assert!(fit.objective < 1e-10 && fit.r2 > 1.0 - 1e-9 && fit.starts.converged, "{fit:?}");
            assert_eq!((fit.points, fit.sizes), (30, 6));
            near(fit.loss(7e9, 1.4e12), additive(truth)(7e9, 1.4e12), 1e-5, "loss");
        }
    }
    let truth: [f64; 4] = [8.8e13, 5.4e13, 0.076, 0.095];
    let kaplan = move |n: f64, d: f64| ((truth[0] / n).powf(truth[2] / truth[3]) + truth[1] / d).powf(truth[3]);
    all_near(&fitted(rows(kaplan, 0.0), LawName::Kaplan), &truth, 1e-3);
    let neo = |n: f64, d: f64| additive([2.2, 300.0, 900.0, 0.33, 0.33])(n, d) - 0.02 * d.ln();
    let fit = fitted(rows(neo, 0.0), LawName::Neo);
    all_near(&fit, &[2.2, 300.0, 900.0, 0.33, 0.33, 0.02], 1e-2);
    assert!(fit.warnings.iter().any(|w| matches!(w, Warning::Unbounded { .. })), "{:?}", fit.warnings);
}

/// 75 points: three shares of unique tokens.
fn repeated(law: impl Fn(f64, f64, f64) -> f64) -> Vec<Point> {
    let mut all = Vec::new();
    for params in [2e7_f64, 1e8, 5e8, 2e9, 8e9] {
        for tokens in [1e9_f64, 5e9, 2e10, 1e11, 4e11] {
            for epochs in [1.0, 4.0, 40.0] {
                let unique = tokens / epochs;
                let loss = law(params, tokens, unique);
                all.push(Point { unique_tokens: Some(unique), ..Point::new(params, tokens, loss) });
            }
        }
    }
    all
}

#[test]
fn exact_points_with_repetition_give_the_law_that_made_them() {
    // The constants of Muennighoff et al. (2023).
    let truth: [f64; 7] = [1.8691, 520.6, 1487.6, 0.3527, 0.3527, 15.39, 5.31];
    let law = |n: f64, d: f64, unique: f64| {
        // Written as in their notebook, with G and the exponents of N_opt and D_opt, for another way to the same number.
        let [e, a, b, alpha, beta, r_d, r_n] = truth;
        let g = (alpha * a / (beta * b)).powf(1.0 / (alpha + beta));
        let compute = (g * unique).powf((alpha + beta) / alpha) * 6.0;
        let u_n = (g * (compute / 6.0).powf(beta / (alpha + beta))).min(n);
        let (more_n, more_d) = (n / u_n - 1.0, d / unique - 1.0);
        let n = u_n + u_n * r_n * (1.0 - (-more_n / r_n).exp());
        let d = unique + unique * r_d * (1.0 - (-more_d / r_d).exp());
        e + a / n.powf(alpha) + b / d.powf(beta)
    };
    let mut with = repeated(law);
    let fit_all = fitted(with.clone(), LawName::DataConstrained);
    // Points without repetition still have too many parameters for their tokens, which the law without repetition of
    // step 1 does not know: as in the paper, its constants come from other points.
    assert!(fit_all.r2 > 0.95, "{fit_all:?}");
    let base = Some([truth[0], truth[1], truth[2], truth[3], truth[4]]);
    let options = FitOptions { base: base.map(Into::into), ..FitOptions::default() };
    all_near(&fit(&points(with.clone()), LawName::DataConstrained, &options).unwrap(), &truth, 1e-5);
    with[3].unique_tokens = None;
    let error = fit(&points(with), LawName::DataConstrained, &options).unwrap_err().to_string();
    assert_eq!(error, "the law data-constrained needs the unique tokens of every point");

    let truth: [f64; 9] = [1.5, 9.0, 60.0, 250.0, 2e-3, 0.3, 0.35, 0.4, 0.5];
    let bounded = |n: f64, t: f64, d: f64| {
        let [e, start, a, b, c, alpha, beta, gamma, delta] = truth;
        let h = a * n.powf(-alpha) + b * t.powf(-beta) + c * n.powf(gamma) * d.powf(-delta);
        e + (start - e) * h / (1.0 + h)
    };
    let fit = fitted(repeated(bounded), LawName::Bounded);
    all_near(&fit, &truth, 0.05);
    let error = super_fit(rows(additive(PUBLISHED), 0.0), LawName::Bounded).to_string();
    assert_eq!(error, "the law bounded needs points with repeated tokens (unique_tokens below tokens)");
}

fn super_fit(rows: Vec<Point>, law: LawName) -> FitError {
    fit(&points(rows), law, &FitOptions::default()).unwrap_err()
}

/// The lowest minimum that SciPy 1.17 finds on the same points. Hoffmann 3: `minimize(method="BFGS", jac=True,
/// options={"gtol": 1e-12})` from 900 starts. Kaplan and NEO: the same with numerical gradients, then Nelder and Mead's
/// method with `xatol=1e-14`. Variable projection: `least_squares(xtol=1e-15, ftol=1e-15, gtol=1e-15)` on L, whose
/// `cost` is half the sum of squares.
#[test]
fn scipy_finds_the_same_minima() {
    let mut outlier = rows(additive(PUBLISHED), 0.01);
    outlier[7].loss *= 1.3;
    let fit = fitted(outlier, LawName::Hoffmann3);
    all_near(&fit, &[1.762_293_986, 346.842_331_5, 1_927.219_798, 0.324_750_931_6, 0.361_966_800_9], 1e-5);
    near(fit.objective, 4.534_881_566_5e-4, 1e-9, "objective");
    // The outlier is the eighth point given; points are sorted by size and tokens, as they were.
    assert!(
        fit.warnings.iter().any(|w| matches!(w, Warning::Outliers { rows, .. } if *rows == [7])),
        "{:?}",
        fit.warnings
    );

    let kaplan = |n: f64, d: f64| ((8.8e13 / n).powf(0.8) + 5.4e13 / d).powf(0.095);
    let fit = fitted(rows(kaplan, 0.01), LawName::Kaplan);
    near(fit.objective, 1.957_551_940_067_8e-4, 1e-8, "objective");
    all_near(&fit, &[5.673_550_828e13, 4.074_390_979e13, 0.079_123_944_3, 0.097_676_138_06], 1e-3);

    let neo = |n: f64, d: f64| additive([2.2, 300.0, 900.0, 0.33, 0.33])(n, d) - 0.02 * d.ln();
    let fit = fitted(rows(neo, 0.003), LawName::Neo);
    // Nelder and Mead's method stops short of the flat minimum: ours may be lower, and not by much.
    assert!(fit.objective <= 4.889_231_094_4e-5 * (1.0 + 1e-9) && fit.objective > 4.88e-5, "{fit:?}");

    let fit = fitted(rows(additive(PUBLISHED), 0.01), LawName::VariableProjection);
    near(fit.objective, 0.012_012_206_481_222_91, 1e-9, "objective");
    all_near(&fit, &[1.743_999_199_6, 270.907_560_855, 1_818.790_698_7, 0.310_858_839_5, 0.359_096_344_3], 1e-4);
}

/// Budgets whose sizes move away from the best one as compute grows, on exact losses: the parabolas and the line are
/// numpy's (`polyfit`), a = 0.4477 where β/(α+β) is 0.4516.
#[test]
fn approach_2_has_the_bias_that_numpy_finds() {
    let law = [1.69, 406.4, 410.7, 0.34, 0.28];
    let mut all = Vec::new();
    for compute in [6e18_f64, 6e19, 6e20, 6e21] {
        for k in -2..4 {
            let params = 3.0 * (compute / 6.0).powf(0.4) * 4f64.powi(k);
            let tokens = compute / 6.0 / params;
            all.push(Point::new(params, tokens, additive(law)(params, tokens)));
        }
    }
    let points = points(all);
    let fit = fit(&points, LawName::Hoffmann2, &FitOptions::default()).unwrap();
    near(fit.parameters["a"], APPROACH_2[0], 1e-9, "a");
    near(fit.parameters["G_N"], APPROACH_2[1], 1e-7, "G_N");
    near(fit.parameters["a"] + fit.parameters["b"], 1.0, 1e-12, "N D is C / 6");
    let bias = fit.warnings.iter().find(|w| matches!(w, Warning::OffCentre { .. })).unwrap();
    let Warning::OffCentre { found, expected } = bias else { unreachable!() };
    near(*found, APPROACH_2[0], 1e-4, "found");
    near(*expected, 0.28 / 0.62, 1e-4, "expected");
    // With equal exponents and sizes around the best one, a parabola has no bias.
    let centred = [1.69, 400.0, 400.0, 0.3, 0.3];
    let mut all = Vec::new();
    for compute in [6e18_f64, 6e19, 6e20] {
        for k in -3..=3 {
            let params = (compute / 6.0).sqrt() * 2f64.powi(k);
            let tokens = compute / 6.0 / params;
            all.push(Point::new(params, tokens, additive(centred)(params, tokens)));
        }
    }
    let points = self::points(all);
    let fit = self::fit(&points, LawName::Hoffmann3, &FitOptions::default()).unwrap();
    assert_eq!(off_centre(&points, &fit, &FitOptions::default()), None);
}

/// a and G_N of the test above, by numpy 2.4.
const APPROACH_2: [f64; 2] = [0.447_744_794_717_951_14, 0.785_141_961_092_069_1];

/// Curves of many sizes: approach 1 finds the frontier of the law, but for what the finite number of sizes adds.
#[test]
fn approach_1_finds_the_frontier() {
    let law = [1.69, 406.4, 410.7, 0.34, 0.28];
    let mut all = Vec::new();
    for k in 0..24 {
        let params = 2e7 * 1.35f64.powi(k);
        for step in 1..60 {
            let tokens = 2e8 * 1.17f64.powi(step);
            let run = Some(format!("size {k}"));
            all.push(Point { run, ..Point::new(params, tokens, additive(law)(params, tokens)) });
        }
    }
    let points = points(all);
    let fit = fit(&points, LawName::Hoffmann1, &FitOptions::default()).unwrap();
    near(fit.parameters["a"], 0.28 / 0.62, 0.05, "a");
    near(fit.parameters["b"], 0.34 / 0.62, 0.05, "b");
    assert!(!fit.warnings.iter().any(|w| matches!(w, Warning::Checkpoints { .. })));
    // Taken for final losses, the same points are warned of.
    let fit = self::fit(
        &points,
        LawName::Hoffmann3,
        &FitOptions { grid: Grid::one(LawName::Hoffmann3, &law), ..FitOptions::default() },
    );
    assert!(fit.unwrap().warnings.contains(&Warning::Checkpoints { points: 24 * 58 }));
    let error = super_fit(rows(additive(law), 0.0), LawName::Hoffmann1).to_string();
    assert_eq!(error, "the law hoffmann-1 needs points along the runs of at least three sizes, with a run column");
}

/// The loss in two steps: points along runs with accuracies, of a law and a sigmoid.
#[test]
fn two_steps_give_loss_and_accuracy() {
    let law = [0.45, 38.0, 100.0, 0.226, 0.236];
    let accuracy = |loss: f64| -0.74 / (1.0 + (-4.8 * (loss - 1.2)).exp()) + 1.0;
    let mut all = Vec::new();
    for (k, params) in [1.9e8_f64, 3.7e8, 7.6e8, 1.3e9].into_iter().enumerate() {
        for multiple in [1.0, 2.0, 5.0, 10.0] {
            for part in 1..=20 {
                let tokens = 20.0 * params * multiple * f64::from(part) / 20.0;
                let loss = additive(law)(params, tokens);
                let run = Some(format!("{k} {multiple}"));
                all.push(Point { run, accuracy: Some(accuracy(loss)), ..Point::new(params, tokens, loss) });
            }
        }
    }
    let options = FitOptions { window: 1, ..FitOptions::default() };
    let points = points(all);
    let fit = fit(&points, LawName::TwoStep, &options).unwrap();
    for (name, expected) in [("E", 0.45), ("alpha", 0.226), ("beta", 0.236), ("a", -0.74), ("k", 4.8), ("L0", 1.2)] {
        near(fit.parameters[name], expected, 0.03, name);
    }
    assert_eq!(fit.points, 16);
    let loss = fit.loss(7e9, 4e12);
    near(loss, additive(law)(7e9, 4e12), 1e-3, "loss");
    near(fit.accuracy(loss).unwrap(), accuracy(loss), 0.01, "accuracy");
    let by_run = Bootstrap { samples: 20, ..Bootstrap::default() };
    let prediction = bootstrap(&points, LawName::TwoStep, &options, &by_run).unwrap();
    let prediction = prediction.predict(Budget::Model { params: 7e9, tokens: 4e12 }).unwrap();
    assert!(prediction.accuracy.is_some() && prediction.accuracy_interval.is_some());
    assert!(matches!(prediction.warnings[..], [Warning::Extrapolation { .. }]), "{:?}", prediction.warnings);
}

#[test]
fn neither_order_nor_threads_show() {
    let forward = rows(additive([1.8, 480.0, 2000.0, 0.35, 0.37]), 0.002);
    let mut backward = forward.clone();
    backward.reverse();
    let way = Bootstrap { samples: 50, ..Bootstrap::default() };
    let run = |rows: Vec<Point>, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bootstrap(&points(rows), LawName::Hoffmann3, &FitOptions::default(), &way).unwrap())
    };
    let one = run(forward, 1);
    assert_eq!(one, run(backward, 3));
    assert_eq!(one.fit.intervals.as_ref().unwrap().failed, 0);
    let other = Bootstrap { seed: 1, ..way };
    let other = bootstrap(&one.points, LawName::Hoffmann3, &FitOptions::default(), &other).unwrap();
    assert_ne!(one.samples, other.samples);
}

/// The instructions of the processor do not show.
#[test]
fn every_instruction_set_gives_the_same_bits() {
    let points = points(rows(additive(PUBLISHED), 0.01));
    let best = retrace_numerics::isa::detect();
    let mut all = Vec::new();
    for isa in Isa::ALL {
        if force(isa) {
            let fits = [LawName::Hoffmann3, LawName::Kaplan, LawName::Neo, LawName::VariableProjection];
            all.push(fits.map(|law| fit(&points, law, &FitOptions::default()).unwrap()));
        }
    }
    force(best);
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
}

/// N in thousands and D in millions: A is divided by 1000^α and B by 10^(6β), and nothing else changes.
#[test]
fn units_change_the_coefficients_alone() {
    let plain = rows(additive(PUBLISHED), 0.01);
    let scaled = plain.iter().map(|p| Point::new(p.params / 1e3, p.tokens / 1e6, p.loss)).collect();
    // The paper's grid is not the same place in other units; a start that is, is.
    let started = |rows, [e, a, b, alpha, beta]: [f64; 5]| {
        let options =
            FitOptions { grid: Grid::one(LawName::Hoffmann3, &[e, a, b, alpha, beta]), ..FitOptions::default() };
        fit(&points(rows), LawName::Hoffmann3, &options).unwrap().values()
    };
    let [e, a, b, alpha, beta] = PUBLISHED;
    let first = started(plain, PUBLISHED);
    let second = started(scaled, [e, a / 1e3f64.powf(alpha), b / 1e6f64.powf(beta), alpha, beta]);
    near(second[0], first[0], 1e-6, "E");
    near(second[1], first[1] / 1e3f64.powf(first[3]), 1e-5, "A");
    near(second[2], first[2] / 1e6f64.powf(first[4]), 1e-5, "B");
    near(second[3], first[3], 1e-6, "alpha");
    near(second[4], first[4], 1e-6, "beta");
}

/// Besiroglu et al. found that Hoffmann et al. had averaged the Huber losses and kept SciPy's tolerance.
#[test]
fn a_mean_with_an_absolute_tolerance_stops_early_and_is_warned_of() {
    let points = points(rows(additive(PUBLISHED), 0.01));
    let options = FitOptions {
        reduction: Reduction::Mean,
        tolerance: Tolerance::Absolute(2.2e-9),
        grid: Grid::one(LawName::Hoffmann3, &[1.0, 400.0, 400.0, 0.5, 0.5]),
        ..FitOptions::default()
    };
    let early = fit(&points, LawName::Hoffmann3, &options).unwrap();
    let best = fit(&points, LawName::Hoffmann3, &FitOptions::default()).unwrap();
    assert!(!early.starts.converged && early.objective > best.objective * 1.001, "{early:?}");
    assert!(early.warnings.contains(&Warning::Mean));
    let Some(Warning::StoppedEarly { gain, .. }) = early.warnings.first() else { panic!("{:?}", early.warnings) };
    near(early.objective * (1.0 - gain), best.objective, 1e-6, "objective when continued");
    assert!(best.starts.converged && !best.warnings.iter().any(|w| matches!(w, Warning::StoppedEarly { .. })));
}

#[test]
fn doubtful_points_are_warned_of() {
    let of = |rows: Vec<Point>| fitted(rows, LawName::Hoffmann3).warnings;
    let clean = rows(additive(PUBLISHED), 0.01);
    let warnings = of(clean.clone());
    assert!(warnings.iter().all(|w| matches!(w, Warning::RoundedConstants { .. })), "{warnings:?}");
    let rounded = clean.iter().map(|p| Point::new(p.params, p.tokens, (p.loss * 10.0).round() / 10.0)).collect();
    assert!(of(rounded).contains(&Warning::RoundedLosses { decimals: 1 }));
    let twice = clean.iter().chain(&clean[..4]).cloned().collect();
    assert!(of(twice).contains(&Warning::Duplicates { points: 4 }));
    let read = clean.iter().map(|p| Point::new(p.params * 1.004, p.tokens * 0.997, p.loss * 1.001));
    assert!(of(clean.iter().cloned().chain(read).collect()).contains(&Warning::Digitisations { points: 60 }));
    let measured = clean.iter().map(|p| Point { flops: Some(p.compute() * 1.3), ..p.clone() }).collect();
    assert!(of(measured).iter().any(|w| matches!(w, Warning::Compute { .. })));
    let worse = clean.iter().map(|p| Point { params: 1e18 / p.params, ..p.clone() }).collect();
    assert!(of(worse).iter().any(|w| matches!(w, Warning::Implausible { .. })));
    // Losses that fall faster than any such law have no lower limit above 0.
    let falling = of(rows(additive([-0.3, 30.0, 3000.0, 0.16, 0.45]), 0.0));
    assert!(falling.contains(&Warning::Unbound { parameter: "E".to_owned() }), "{falling:?}");
    let unknown = fit(&Points::new(None, None, clean).unwrap(), LawName::Kaplan, &FitOptions::default()).unwrap();
    let units = unknown.warnings.iter().filter(|w| matches!(w, Warning::UnknownUnit { .. })).count();
    assert_eq!(units, 2);
}

#[test]
fn laws_are_tested_on_points_held_out() {
    let points = points(rows(additive(PUBLISHED), 0.003));
    let options = FitOptions::default();
    let out = leave_largest_out(&points, LawName::Hoffmann3, &options).unwrap();
    assert_eq!((out.held, out.fit.sizes), (5, 5));
    assert!(out.error < 0.02 && out.factor > 3.0, "{out:?}");
    let out = hold_out_compute(&points, LawName::Hoffmann3, &options, 0.3).unwrap();
    assert_eq!(out.held, 9);
    let all = compare(&points, &[LawName::Kaplan, LawName::Hoffmann3, LawName::Hoffmann2], &options, 0.3);
    // The law that made the points is the best; approach 2 says no loss, and is told so.
    assert_eq!(all.iter().map(|(law, _)| *law).collect::<Vec<_>>()[0], LawName::Hoffmann3);
    let why = all[2].1.as_ref().unwrap_err().to_string();
    assert_eq!(
        why,
        "the law hoffmann-2 says the best model for a compute, and no loss that could be compared with the points"
    );
    let rolled = rolling(&points, LawName::Hoffmann3, &options, 4);
    assert!(rolled.iter().flatten().count() >= 3 && rolled.len() == 4, "{rolled:?}");
    let held: usize = rolled.iter().flatten().map(|out| out.held).sum();
    assert!(held <= 24);
}

/// Budgets whose computes are equal but for the rounding of N and D: no cut goes through one.
#[test]
fn a_budget_is_held_out_as_a_whole() {
    let law = additive(PUBLISHED);
    let mut all = Vec::new();
    for compute in [1e19_f64, 3e19, 1e20, 3e20, 1e21] {
        for (at, factor) in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 0.1].into_iter().enumerate() {
            let params = (compute / 120.0).sqrt() * factor;
            // Also the larger part of a billionth is no other budget.
            let tokens = compute / 6.0 / params * (1.0 + 1e-9 * at as f64);
            all.push(Point::new(params, tokens, law(params, tokens) * (1.0 + 0.004 * ((at % 3) as f64 - 1.0))));
        }
    }
    let points = points(all);
    let options = FitOptions { grid: Grid::one(LawName::VariableProjection, &[0.35, 0.37]), ..FitOptions::default() };
    for share in [0.03, 0.1, 0.2, 0.3, 0.37, 0.5] {
        let out = hold_out_compute(&points, LawName::VariableProjection, &options, share).unwrap();
        assert!(out.held.is_multiple_of(7) && out.held >= (35.0 * share) as usize, "{share}: {}", out.held);
        // In one unit, a mean is at most the root mean square.
        assert!(out.bias.abs() <= out.error, "{out:?}");
    }
    for out in rolling(&points, LawName::VariableProjection, &options, 6).into_iter().flatten() {
        assert!(out.held.is_multiple_of(7) && out.bias.abs() <= out.error, "{out:?}");
    }
}

/// The bias of a law that foretells everything too high or too low by one factor is that factor's logarithm, as the error.
#[test]
fn bias_and_error_have_one_unit() {
    for factor in [2.0_f64, 0.5] {
        let mut rows = rows(additive(PUBLISHED), 0.0);
        for point in rows.iter_mut().filter(|point| point.params == 1e10) {
            point.loss /= factor;
        }
        let out = leave_largest_out(&points(rows), LawName::Hoffmann3, &FitOptions::default()).unwrap();
        near(out.bias, factor.ln(), 1e-3, "bias");
        near(out.error, factor.ln().abs(), 1e-3, "error");
    }
}

#[test]
fn the_frontier_is_that_of_the_paper_and_of_a_search() {
    let points = points(rows(additive([1.69, 406.4, 410.7, 0.34, 0.28]), 0.001));
    let way = Bootstrap { samples: 100, by: Resampling::Case, ..Bootstrap::default() };
    let options = FitOptions::default();
    let all = bootstrap(&points, LawName::Hoffmann3, &options, &way).unwrap();
    let (best, between) = all.optimum(5.76e23).unwrap();
    // Nothing along the line of equal compute is better.
    let loss = |params: f64| all.fit.loss(params, 5.76e23 / 6.0 / params);
    for factor in [0.5, 0.9, 0.99, 1.01, 1.1, 2.0] {
        assert!(loss(best.params * factor) > loss(best.params));
    }
    near(best.params * best.tokens, 5.76e23 / 6.0, 1e-9, "C / 6");
    assert!(between.params[0] < best.params && best.params < between.params[1]);
    let prediction = all.predict(Budget::Compute(5.76e23)).unwrap();
    let ([low, high], [lower, higher]) = (prediction.loss_interval.unwrap(), prediction.run_interval.unwrap());
    assert!(lower < low && high < higher, "{prediction:?}");
    assert!(prediction.outcome(prediction.loss.unwrap() * 1.0001).unwrap().within);
    let missed = prediction.outcome(prediction.loss.unwrap() * 1.05).unwrap();
    assert!(!missed.within && (missed.error - 0.05).abs() < 1e-9, "{missed:?}");
    // A law whose optimum is searched for finds that of the law with the formula where they are the same law: d = 0.
    let neo = fit(&points, LawName::Neo, &FitOptions::default()).unwrap();
    let mut same = neo.clone();
    for (name, value) in all.fit.law.parameters().iter().zip(all.fit.values()) {
        same.parameters.insert((*name).to_owned(), value);
    }
    same.parameters.insert("d".to_owned(), 0.0);
    near(same.optimum(5.76e23).unwrap().params, best.params, 1e-6, "N_opt");
    let apart = distance((&all.fit, &points), (&all.fit, &points)).unwrap();
    assert!(apart.exponents == 0.0 && apart.loss == Some(0.0) && apart.is_below_digitisation());
    assert!(distance((&all.fit, &points), (&neo, &points)).is_none());
}

#[test]
fn what_cannot_determine_a_law_is_refused() {
    let good = rows(additive(PUBLISHED), 0.0);
    let of = |rows: Vec<Point>| super_fit(rows, LawName::Hoffmann3);
    assert_eq!(
        of(good[..3].to_vec()).to_string(),
        "3 points cannot determine the 5 parameters of the law hoffmann-3; at least 6 are needed"
    );
    assert!(matches!(of(Vec::new()), FitError::TooFew { points: 0, .. }));
    let one_size = good.iter().map(|p| Point { params: 1e9, ..p.clone() }).collect();
    assert_eq!(of(one_size), FitError::Single("params"));
    let one_length = good.iter().map(|p| Point { tokens: 1e9, ..p.clone() }).collect();
    assert_eq!(of(one_length), FitError::Single("tokens"));
    for law in LawName::ALL {
        assert!(fit(&points(good[..3].to_vec()), law, &FitOptions::default()).is_err(), "{law}");
        assert!(fit(&points(Vec::new()), law, &FitOptions::default()).is_err(), "{law}");
    }
    let bad = |options: FitOptions| fit(&points(good.clone()), LawName::Hoffmann3, &options).unwrap_err();
    assert!(matches!(bad(FitOptions { delta: f64::NAN, ..FitOptions::default() }), FitError::Option("delta", _)));
    assert!(matches!(bad(FitOptions { updates: 0, ..FitOptions::default() }), FitError::Option("updates", _)));
    let grid = Grid::one(LawName::Hoffmann3, &[1.0, -1.0, 2.0, 0.3, 0.3]);
    assert!(matches!(bad(FitOptions { grid, ..FitOptions::default() }), FitError::Option("grid", _)));
    let way = Bootstrap { samples: 0, ..Bootstrap::default() };
    let error = bootstrap(&points(good.clone()), LawName::Hoffmann3, &FitOptions::default(), &way).unwrap_err();
    assert!(matches!(error, FitError::Option("samples", _)));
}
