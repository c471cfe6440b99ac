//! Scaling laws on the points of others, beside what they published. The data are stored beside the repository and are
//! not a part of it; none of these tests runs unless requested.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use retrace_analysis::scaling::{Fit, Point, Points, Warning, bootstrap, fit, hold_out_compute, leave_largest_out};
use retrace_spec::recipe::scaling::{Bootstrap, FitOptions, Grid, LawName, LossUnit, ParamsUnit, Resampling};
use serde_json::Value;

/// The text of an item of the data.
#[track_caller]
fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/scaling").join(path);
    assert!(path.exists(), "{} is not there: this test is for where it is", path.display());
    fs::read_to_string(path).unwrap()
}

fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap()
}

/// The numbers of a CSV file's columns.
fn columns<const N: usize>(path: &str, columns: [usize; N]) -> Vec<[f64; N]> {
    let text = text(path);
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        columns.map(|column| fields[column].parse().unwrap())
    };
    text.lines().skip(1).map(row).collect()
}

fn points(rows: Vec<Point>) -> Points {
    Points::new(Some(ParamsUnit::Total), Some(LossUnit::NatsPerToken), rows).unwrap()
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

/// The sum of Huber losses of a law's parameters.
fn objective(law: &Fit, values: &[f64], points: &Points, delta: f64) -> f64 {
    let mut law = law.clone();
    for (name, value) in law.law.parameters().iter().zip(values) {
        law.parameters.insert((*name).to_owned(), *value);
    }
    let huber = |p: &Point| {
        let size = (law.loss_at(p).ln() - p.loss.ln()).abs();
        if size < delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
    };
    points.rows().iter().map(huber).sum()
}

/// The points that Besiroglu et al. (2024) read from the figures of Hoffmann et al., by loss, the highest first.
fn chinchilla() -> Vec<Point> {
    let rows = columns("gemstones/data/epoch_chinchilla_svg_extracted_data.csv", [3, 4, 6]);
    let mut rows: Vec<Point> =
        rows.into_iter().map(|[params, flops, loss]| Point::new(params, flops / (6.0 * params), loss)).collect();
    rows.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    rows
}

/// Besiroglu et al. leave five points out (here: those with the highest loss), and publish E = 1.8172, A = 482.01, B =
/// 2085.43, α = 0.3478, β = 0.3658 with 80 % intervals: our A and B differ by 0.9 % and 2.8 %, with E the same to 10⁻⁵
/// and the exponents to 0.4 %. Which points they leave out is not published to the row, and A and α go together. With all
/// 245 points B is 12,846, and the five are warned of.
#[test]
#[ignore = "real data"]
fn chinchilla_redone() {
    let rows = chinchilla();
    let published = [1.8172, 482.01, 2085.43, 0.3478, 0.3658];
    let points240 = points(rows[5..].to_vec());
    let way = Bootstrap { by: Resampling::Case, samples: 2000, level: 0.8, ..Bootstrap::default() };
    let resampled = bootstrap(&points240, LawName::Hoffmann3, &FitOptions::default(), &way).unwrap();
    let best = &resampled.fit;
    near(best.parameters["E"], published[0], 1e-4, "E");
    all_near(best, &published, 0.03);
    // At least as low as at their constants, and all of these within the intervals.
    assert!(best.objective <= objective(best, &published, &points240, 1e-3));
    for (name, expected) in best.law.parameters().iter().zip(published) {
        let [low, high] = best.intervals.as_ref().unwrap().parameters[*name];
        assert!(low < expected && expected < high, "{name}: {low} to {high}");
    }
    // Their optimal ratio is about 20 tokens per parameter at the compute of Chinchilla.
    let (best, _) = resampled.optimum(5.76e23).unwrap();
    assert!((15.0..35.0).contains(&best.tokens_per_param), "{best:?}");
    let all = fit(&points(rows), LawName::Hoffmann3, &FitOptions::default()).unwrap();
    near(all.parameters["B"], 12_846.0, 1e-4, "B with the outliers");
    let Some(Warning::Outliers { rows, .. }) = all.warnings.iter().find(|w| matches!(w, Warning::Outliers { .. }))
    else {
        panic!("{:?}", all.warnings);
    };
    assert!(rows.len() >= 5, "{rows:?}");
}

fn gemstones(name: &str) -> Points {
    let text = text(&format!("gemstones/wandb_dfs/wandb_df_for_fitting_{name}.jsonl"));
    let rows = text.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let number = |field: &str| row[field].as_f64().unwrap();
        let run = row["run_name"].as_str().map(str::to_owned);
        Point { run, ..Point::new(number("params_active_precise"), number("tokens"), number("final_loss")) }
    });
    points(rows.collect())
}

/// Approach 3 of the Gemstones (McLeish et al. 2025), eight selections of points and two δ. With δ = 10⁻³ the constants
/// are the same but for the place where their search stops. With δ = 10⁻⁴ their search, with SciPy's default tolerance
/// of 2.2 · 10⁻⁹ on objectives of 10⁻⁴ to 10⁻⁵, stops up to 2.8 % above the optimum.
#[test]
#[ignore = "real data"]
fn gemstones_approach_3() {
    let names = [
        "hot",
        "hot_100b+",
        "hot_120b+_only",
        "cool_begin",
        "cool_end",
        "lr_ablation_hot",
        "hot_sampled_like_chinchilla",
        "slim_chinchilla",
    ];
    let mut worst: f64 = 0.0;
    for name in names {
        let points = gemstones(name);
        for (folder, delta) in [("parameters_delta-3", 1e-3), ("parameters_delta-4", 1e-4)] {
            let theirs = json(&format!("gemstones/{folder}/approach_3_parameters_grid_search_0_{name}.json"));
            let of = |what: &str, at: usize| theirs[what]["0"][at].as_f64().unwrap();
            let published = [
                theirs["irreducible_error"]["0"].as_f64().unwrap().exp(),
                of("coefficients", 0).exp(),
                of("coefficients", 1).exp(),
                of("exponents", 0),
                of("exponents", 1),
            ];
            let best = fit(&points, LawName::Hoffmann3, &FitOptions { delta, ..FitOptions::default() }).unwrap();
            assert!(best.starts.converged, "{name}");
            let at_theirs = objective(&best, &published, &points, delta);
            // Their value of the objective, which is written to ten decimals.
            assert!((at_theirs - theirs["loss"]["0"].as_f64().unwrap()).abs() < 1e-9, "{name}: {at_theirs}");
            assert!(best.objective <= at_theirs, "{name}: {} above {at_theirs}", best.objective);
            let above = at_theirs / best.objective - 1.0;
            if delta == 1e-3 {
                assert!(above < 1e-5, "{name}: {above}");
                near(best.parameters["alpha"], published[3], 5e-3, "alpha");
                near(best.parameters["beta"], published[4], 5e-3, "beta");
            }
            worst = worst.max(above);
        }
    }
    assert!((0.02..0.04).contains(&worst), "{worst}");
}

/// The points of the Gemstones are along 22 runs: the intervals by run are wider than those that take the points for
/// independent.
#[test]
#[ignore = "real data"]
fn gemstones_intervals_by_run_are_wider() {
    let points = gemstones("hot_100b+");
    assert_eq!((points.rows().len(), points.runs()), (770, 22));
    let width = |by, name: &str| {
        let way = Bootstrap { by, samples: 500, ..Bootstrap::default() };
        let fit = bootstrap(&points, LawName::Hoffmann3, &FitOptions::default(), &way).unwrap().fit;
        assert!(fit.warnings.contains(&Warning::Checkpoints { points: 748 }));
        let [low, high] = fit.intervals.unwrap().parameters[name];
        high - low
    };
    for name in ["E", "alpha"] {
        let (run, case) = (width(Resampling::Run, name), width(Resampling::Case, name));
        assert!(run > 3.0 * case, "{name}: {run} and {case}");
    }
}

/// Approach 1 of the Gemstones gives N_opt ~ C^0.499 on their points every 2 billion tokens. They take the convex hull of
/// the points and of each of 20 buckets the lowest point; compute is that of the layers, which is not 6 N D. We have the
/// points every 10 billion tokens and the paper's envelope: the exponent differs by 0.06 to 0.15, less with the longer
/// runs, far more than between two digitisations.
#[test]
#[ignore = "real data"]
fn gemstones_approach_1() {
    let theirs =
        json("gemstones/parameters/approach_1_linear_regression_params_100b+.json")["coef"][0].as_f64().unwrap();
    let ours = fit(&gemstones("hot_100b+"), LawName::Hoffmann1, &FitOptions::default()).unwrap();
    assert!((ours.parameters["a"] - theirs).abs() < 0.15, "{} and {theirs}", ours.parameters["a"]);
    near(ours.parameters["a"] + ours.parameters["b"], 1.0, 1e-6, "N D is C / 6");
}

/// The rows of `runs_extracted.csv` that Muennighoff et al. (2023) fitted: 182 of 296, by name in their notebook.
const FITTED: [(usize, usize); 23] = [
    (5, 7),
    (40, 47),
    (49, 53),
    (88, 94),
    (95, 105),
    (106, 119),
    (120, 124),
    (125, 144),
    (148, 153),
    (156, 217),
    (218, 222),
    (223, 227),
    (228, 232),
    (233, 244),
    (245, 251),
    (253, 254),
    (259, 261),
    (262, 264),
    (267, 270),
    (272, 274),
    (276, 278),
    (280, 289),
    (290, 291),
];

/// Muennighoff et al. publish R_D* = 15.39 and R_N* = 5.31 with an objective of 0.015 825 9, from 16 starts. That is a
/// local minimum. The lowest is 0.13 % lower, at R_D* = 95.4 and R_N* = 1.71 (SciPy 1.17, Nelder and Mead from 49 starts,
/// finds 0.015 804 662 474 002 036 there): the points hardly say what repeated tokens are worth. On all 296 runs, with
/// those whose loss rises for want of regularisation, the law is best with excess parameters worth nothing (SciPy:
/// 0.029 233 853 843 591 357), which is warned of.
#[test]
#[ignore = "real data"]
fn data_constrained() {
    let mut rows = Vec::new();
    let mut law = None;
    let (a, b, e) = (6.255_414_f64, 7.304_997_4_f64, 0.625_480_4_f64);
    let base = [e.exp(), a.exp(), b.exp(), 0.352_659_6, 0.352_659_6];
    let published: Vec<f64> = base.into_iter().chain([15.387_756, 5.309_743]).collect();
    let options = FitOptions { base: Some(base.into()), ..FitOptions::default() };
    for [params, tokens, unique, loss, predicted] in columns("datablations-logs/runs_extracted.csv", [1, 2, 3, 5, 6]) {
        let point = Point { unique_tokens: Some(unique), ..Point::new(params, tokens, loss) };
        rows.push((point, predicted));
    }
    let of = |keep: &dyn Fn(usize) -> bool| {
        points((0..rows.len()).filter(|at| keep(*at)).map(|at| rows[at].0.clone()).collect())
    };
    let fitted = of(&|at| FITTED.iter().any(|(from, to)| (*from..*to).contains(&at)));
    assert_eq!(fitted.rows().len(), 182);
    for (start, expected, objective) in
        [(true, [15.372, 5.315], 0.015_825_932), (false, [95.365, 1.705_9], 0.015_804_662_474)]
    {
        let grid = if start { Grid::one(LawName::DataConstrained, &published[5..]) } else { Grid::default() };
        let best = fit(&fitted, LawName::DataConstrained, &FitOptions { grid, ..options.clone() }).unwrap();
        near(best.parameters["R_D"], expected[0], 2e-3, "R_D");
        near(best.parameters["R_N"], expected[1], 2e-3, "R_N");
        near(best.objective, objective, 1e-7, "objective");
        law = Some(best);
    }
    // The law itself gives their predictions for all runs.
    let mut law = law.unwrap();
    for (name, value) in law.law.parameters().iter().zip(&published) {
        law.parameters.insert((*name).to_owned(), *value);
    }
    for (point, predicted) in &rows {
        near(law.loss_at(point), *predicted, 1e-12, "prediction");
    }
    let all = fit(&of(&|_| true), LawName::DataConstrained, &options).unwrap();
    near(all.objective, 0.029_233_853_843_591_357, 1e-9, "objective");
    assert!(all.warnings.contains(&Warning::Unbound { parameter: "R_N".to_owned() }), "{:?}", all.warnings);
}

/// Step 1 of the OLMo ladder (Bhagia et al. 2024): their constants for nine tasks are ours to 7 digits, and so are the
/// losses foretold for the 7B and 13B models; E of one task is 0, their lower bound. Step 2: the published sigmoid on the
/// foretold loss gives the published accuracy of the chained prediction.
#[test]
#[ignore = "real data"]
fn olmo_ladder() {
    let reference = json("olmo-ladder/reference_fit.json");
    let chained = text("olmo-ladder/src/scripts/paper/figures/chained_main.csv");
    let chained: BTreeMap<&str, Vec<f64>> = chained
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(','))
        .map(|(task, rest)| (task, rest.split(',').map(|field| field.parse().unwrap()).collect()))
        .collect();
    let mut compared = 0;
    for (task, theirs) in reference.as_object().unwrap() {
        let step = &theirs["step1"];
        let (mut rows, mut large) = (Vec::new(), Vec::new());
        for of in step["points"].as_array().unwrap() {
            for at in 0..of["N"].as_array().unwrap().len() {
                let number = |field: &str| of[field][at].as_f64().unwrap();
                let point = Point::new(number("N"), number("D"), number("y"));
                if of["mode"] == "train" { rows.push(point) } else { large.push(point) }
            }
        }
        let points = Points::new(Some(ParamsUnit::Total), Some(LossUnit::BitsPerByte), rows).unwrap();
        let best = fit(&points, LawName::Hoffmann3, &FitOptions::default()).unwrap();
        let number = |field: &str| step[field].as_f64().unwrap();
        let published = [number("E"), number("log_A").exp(), number("log_B").exp(), number("alpha"), number("beta")];
        near(best.objective, objective(&best, &published, &points, 1e-3), 1e-9, task);
        if published[0] > 0.0 {
            all_near(&best, &published, 1e-6);
        } else {
            assert!(best.parameters["E"] < 1e-9, "{task}: {best:?}");
        }
        let sigmoid = |field: &str| theirs["step2_sigmoid"][field].as_f64().unwrap();
        let largest = large.iter().max_by(|a, b| a.params.total_cmp(&b.params)).unwrap();
        let mut two = best.clone();
        two.law = LawName::TwoStep;
        for (name, field) in [("a", "a"), ("k", "k"), ("L0", "x0"), ("b", "b")] {
            two.parameters.insert(name.to_owned(), sigmoid(field));
        }
        let accuracy = two.accuracy(two.loss_at(largest)).unwrap();
        if let Some(published) = chained.get(task.as_str()) {
            near(accuracy, published[1], 1e-5, task);
            compared += 1;
        }
    }
    assert_eq!(compared, 8);
}

/// Both steps from the ladder's 16 runs, for one task: all nine constants are the published ones, and so is the accuracy
/// that they foretell for the 13B model.
#[test]
#[ignore = "real data"]
fn olmo_ladder_from_its_runs() {
    let mut rows = Vec::new();
    for (size, params) in
        [("190M", 190_354_176.0), ("370M", 371_262_464.0), ("760M", 758_220_288.0), ("1B", 1_279_395_840.0)]
    {
        for length in ["1xC", "2xC", "5xC", "10xC"] {
            let run = format!("{size}-{length}");
            let text = text(&format!("olmo-ladder/src/scripts/paper/data/ladder-runs/{run}.csv"));
            let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
            for line in text.lines().skip(1) {
                let fields: Vec<&str> = line.split(',').collect();
                let number = |name: &str| -> f64 {
                    fields[header.iter().position(|column| *column == name).unwrap()].parse().unwrap()
                };
                let loss = number("eval/downstream_bpb/hellaswag_val_rc_5shot_bpb");
                let accuracy = Some(number("eval/downstream/hellaswag_val_rc_5shot_len_norm"));
                let point = Point::new(params, number("throughput/total_tokens"), loss);
                rows.push(Point { accuracy, run: Some(run.clone()), ..point });
            }
        }
    }
    let points = Points::new(Some(ParamsUnit::Total), Some(LossUnit::BitsPerByte), rows).unwrap();
    let best = fit(&points, LawName::TwoStep, &FitOptions::default()).unwrap();
    let theirs = &json("olmo-ladder/reference_fit.json")["hellaswag_val_5shot"];
    let of = |step: &str, field: &str| theirs[step][field].as_f64().unwrap();
    let mut published = vec![of("step1", "E"), of("step1", "log_A").exp(), of("step1", "log_B").exp()];
    published.extend(["alpha", "beta"].map(|field| of("step1", field)));
    published.extend(["a", "k", "x0", "b"].map(|field| of("step2_sigmoid", field)));
    all_near(&best, &published, 1e-5);
    let accuracy = best.accuracy(best.loss(13_202_396_160.0, 5_000_088_518_656.0)).unwrap();
    near(accuracy, 0.853_035_956_349_928_5, 1e-5, "accuracy");
}

/// Gadre et al. (2024) train models on three data sets, to foretell the loss of large ones, and of ones that are trained
/// for long, from small ones with 300 times less compute. Their constants are not among the data, so this claim is tested:
/// the law of the smaller computes foretells the others, of 250 times the compute and more, within 3 %. (They fit fewer
/// models, chosen for this, and report a smaller error for two large ones.)
#[test]
#[ignore = "real data"]
fn gadre() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/scaling/gadre-overtraining");
    let models: Vec<Value> = fs::read_dir(folder.join("exp_data/models"))
        .unwrap()
        .map(|entry| serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap())
        .collect();
    assert_eq!(models.len(), 104);
    for set in ["c4_original", "rpj", "rw_original"] {
        let rows = models.iter().filter(|model| model["dataset_name"] == set).map(|model| {
            let number = |field: &str| model["hyperparameters"][field].as_f64().unwrap();
            let on_c4 = |result: &&Value| result["val_data"][0].as_str().unwrap().contains("c4_val");
            let loss = model["results"].as_array().unwrap().iter().find(on_c4).unwrap()["loss"].as_f64().unwrap();
            Point::new(number("params"), number("tokens"), loss)
        });
        let points = points(rows.collect());
        let out = hold_out_compute(&points, LawName::Hoffmann3, &FitOptions::default(), 0.3).unwrap();
        assert!(out.factor > 250.0 && out.error < 0.03, "{set}: {out:?}");
    }
}

/// Step Law (Li et al. 2025) publishes 1,911 runs over learning rates and batch sizes, and no law of the loss. The best
/// run of each size and number of tokens gives 18 points: too few sizes and tokens to tell E from A / N^α, so that E is 0,
/// and still the largest model is foretold to 2 %.
#[test]
#[ignore = "real data"]
fn step_law() {
    let mut best: BTreeMap<(u64, u64), f64> = BTreeMap::new();
    for [loss, tokens, params] in columns("step-law/data/dense_lr_bs_loss.csv", [7, 10, 11]) {
        let least = best.entry((params as u64, tokens as u64)).or_insert(f64::INFINITY);
        *least = least.min(loss);
    }
    let rows = best.iter().map(|((params, tokens), loss)| Point::new(*params as f64, *tokens as f64, *loss));
    let points = points(rows.collect());
    let law = fit(&points, LawName::Hoffmann3, &FitOptions::default()).unwrap();
    assert!(law.starts.converged && law.parameters["E"] < 1e-3, "{law:?}");
    let out = leave_largest_out(&points, LawName::Hoffmann3, &FitOptions::default()).unwrap();
    assert!(out.error < 0.02, "{out:?}");
}
