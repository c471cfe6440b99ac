//! Recomputes a part of another framework's run, and measures the distance of the results.
//!
//! Another framework adds in another order, so its bits cannot be reproduced. The test is whether the distance between
//! the two final states is small compared with the distance that training moved the weights. Within a step both are
//! within a few roundings of the same real number; a mistake of any size (another batch, rate, decay, an altered
//! tensor) causes a difference of the size of a step, or of the mistake itself.

use retrace_files::{Progress, Root, Unit};
use retrace_model::Network;
use retrace_spec::{Run, Step};
use serde::Serialize;

use crate::state::{OPTIMIZER, inside, moment_names, of_model, read_moments};
use crate::{State, TrainError, Trainer};

/// A tensor passes if the distance of the two final states is at most this fraction of the movement (both as root mean
/// squares), beyond what rounding explains ([`Followed::rounding`]).
///
/// Twenty steps of a small Llama in PyTorch and here, in binary32, end at most 2e-4 of the movement apart
/// (`tests/foreign.sh`); a matrix scaled by 1.001 has a distance of 2e-1 of the movement, and another order of the
/// same sequences 4e-1 to 2. The limit is in the middle of these on a logarithmic scale.
pub const LIMIT: f64 = 1e-2;

/// No single number may have a distance of more than this many times the movement's root mean square, beyond what
/// rounding explains: the mean over a large tensor would hide it. AdamW may move a number whose gradient consists only
/// of rounding errors by up to its rate, and the movement of most numbers consists of steps of that size.
pub const FURTHEST: f64 = 1.0;

/// The number of roundings by which a tensor may differ beyond its fraction of the movement.
const ROUNDINGS: f64 = 4.0;
/// The same for a single number: a number that is much larger than most has a rounding error that is larger in
/// proportion.
const FURTHEST_ROUNDINGS: f64 = 32.0;

/// How closely our computation matches another framework's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tolerance {
    /// The steps that were computed.
    pub steps: Step,
    /// The result.
    pub verdict: Follows,
    /// The fraction of the movement by which a tensor may differ: [`LIMIT`].
    pub limit: f64,
    /// The median of the tensors' ratios.
    pub median_ratio: f64,
    /// Whether their moments were compared too.
    pub moments: bool,
    /// Every tensor, sorted by name.
    pub tensors: Vec<Followed>,
}

/// Whether one computation matches another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Follows {
    /// Every tensor is as close as different rounding allows.
    ToRounding,
    /// Most tensors are; some are outliers.
    OutOfLine,
    /// Half of the tensors or more are not.
    Apart,
    /// No tensor differs by more than rounding explains, but half or more moved by less than that: numbers stored in
    /// bf16 need more steps for a result.
    Unclear,
}

/// The comparison of one tensor. Distances are between our final state and theirs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Followed {
    /// Its name; that of a moment begins with `first_moment.` or `second_moment.`.
    pub name: String,
    /// The root mean square of the distance.
    pub distance: f64,
    /// The largest distance.
    pub largest: f64,
    /// The movement: the root mean square of the change that our steps made.
    pub moved: f64,
    /// The root mean square of what rounding explains: rounding of both final states and the initial one to the type
    /// in which they are stored, and of every step on both sides to binary32.
    pub rounding: f64,
    /// Distance divided by movement; `None` if nothing moved.
    pub ratio: Option<f64>,
    /// Whether it is as close as different rounding allows.
    pub follows: bool,
    /// Whether it moved by more than rounding could hide.
    pub clear: bool,
}

impl Followed {
    /// The distance relative to the limit: 1 is exactly the limit.
    pub fn excess(&self) -> f64 {
        let of = |distance: f64, limit: f64, roundings: f64| match distance == 0.0 {
            true => 0.0,
            false => distance / (limit * self.moved + roundings * self.rounding),
        };
        of(self.distance, LIMIT, ROUNDINGS).max(of(self.largest, FURTHEST, FURTHEST_ROUNDINGS))
    }
}

impl Tolerance {
    /// The tensors that do not match, worst first.
    pub fn findings(&self) -> Vec<&Followed> {
        let mut found: Vec<_> = self.tensors.iter().filter(|tensor| !tensor.follows).collect();
        found.sort_by(|a, b| b.excess().total_cmp(&a.excess()).then_with(|| a.name.cmp(&b.name)));
        found
    }
}

/// Computes all steps of `run`, whose paths are relative to `root` and whose model is `network`, in memory, and
/// compares the final state with the checkpoint in the hub directory `theirs`: weights, and moments if it has them in
/// `optimizer.safetensors`.
///
/// # Errors
/// If a file cannot be read, or `theirs` has another model.
pub fn tolerance(
    root: &Root,
    run: &Run,
    network: &dyn Network,
    theirs: &Root,
    progress: &dyn Progress,
) -> Result<Tolerance, TrainError> {
    let begin = State::initial(root, run, network.layout())?;
    let weights = of_model(theirs, run)?;
    let moments = match theirs.has(&inside(OPTIMIZER)?) {
        true => Some(read_moments(theirs, &weights)?),
        false => None,
    };
    let mut trainer = Trainer::new(root, run, network, begin.clone(), &[])?;
    let steps = run.steps();
    progress.begin(&format!("following {}", run.name), steps.get(), Unit::Steps);
    while trainer.step()?.is_some() {
        progress.advance(1);
    }
    progress.end();
    let end = trainer.state();
    let layout = end.weights.layout();
    let mut tensors = Vec::new();
    let mut compare = |name: &dyn Fn(&str) -> String, values: [&[f32]; 3]| {
        for (weight, _, range) in layout.iter() {
            tensors.push(follow(name(weight), values.map(|values| &values[range.clone()]), steps));
        }
    };
    compare(&str::to_owned, [begin.weights.values(), end.weights.values(), weights.values()]);
    if let Some((first, second)) = &moments {
        let name = |at: usize| move |name: &str| moment_names(name)[at].clone();
        compare(&name(0), [&begin.first_moment, &end.first_moment, first]);
        compare(&name(1), [&begin.second_moment, &end.second_moment, second]);
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let verdict = verdict(&tensors);
    let mut ratios: Vec<f64> = tensors.iter().filter_map(|tensor| tensor.ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let median_ratio = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    Ok(Tolerance { steps, verdict, limit: LIMIT, median_ratio, moments: moments.is_some(), tensors })
}

fn verdict(tensors: &[Followed]) -> Follows {
    let most = |which: fn(&&Followed) -> bool| (tensors.iter().filter(which).count(), tensors.len().div_ceil(2));
    let (apart, half) = most(|tensor| !tensor.follows);
    let (unclear, _) = most(|tensor| !tensor.clear);
    match apart {
        0 if unclear >= half => Follows::Unclear,
        0 => Follows::ToRounding,
        _ if apart < half => Follows::OutOfLine,
        _ => Follows::Apart,
    }
}

/// Compares a tensor's initial value, our final value and theirs.
fn follow(name: String, [begin, ours, theirs]: [&[f32]; 3], steps: Step) -> Followed {
    let count = ours.len().max(1) as f64;
    let mean = |squares: f64| (squares / count).sqrt();
    let apart = |a: &[f32], b: &[f32]| {
        let each = a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b));
        each.fold((0.0, 0.0), |(squares, largest): (f64, f64), by| (squares + by * by, largest.max(by.abs())))
    };
    let (squares, largest) = apart(ours, theirs);
    let (distance, moved) = (mean(squares), mean(apart(begin, ours).0));
    // A rounded number has an error of up to half a unit in the last place, uniformly distributed.
    let rounding = |values: &[f32], bits: i32| {
        let unit = 2f64.powi(1 - bits) / 12f64.sqrt();
        values.iter().map(|value| (f64::from(*value) * unit).powi(2)).sum::<f64>()
    };
    let stored = rounding(begin, bits(begin)) + rounding(theirs, bits(theirs));
    let computed = rounding(ours, 24) * 2.0 * steps.get() as f64;
    let rounding = mean(stored + computed);
    let ratio = (moved > 0.0).then(|| distance / moved);
    let mut followed = Followed {
        name,
        distance,
        largest,
        moved,
        rounding,
        ratio,
        follows: true,
        clear: moved > LIMIT * moved + ROUNDINGS * rounding,
    };
    followed.follows = followed.excess() <= 1.0;
    followed
}

/// The number of significant bits that the numbers of a tensor need, which shows the type in which it was stored: 8
/// for bf16, 11 for f16, 24 for binary32. A tensor with only one repeated number (a norm that is still 1) does not
/// show it, and gets 24.
fn bits(values: &[f32]) -> i32 {
    let other = |value: &f32| values.first() != Some(value);
    if !values.iter().any(other) {
        return 24;
    }
    let needed = |value: &f32| match value.to_bits() << 9 {
        0 => 1,
        fraction => 33 - fraction.trailing_zeros() as i32,
    };
    values.iter().map(needed).max().unwrap_or(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(by: &[f32], off: &[f32]) -> Followed {
        let begin: Vec<f32> = (0..by.len()).map(|i| (i % 9 + 1) as f32 / 7.0).collect();
        let ours: Vec<f32> = begin.iter().zip(by).map(|(begin, by)| begin + by).collect();
        let theirs: Vec<f32> = ours.iter().zip(off).map(|(ours, off)| ours + off).collect();
        follow("x".to_owned(), [&begin, &ours, &theirs], Step(1))
    }

    /// By hand: a movement of (3, 4) has length sqrt(25 / 2), a distance of (0, 0.5) has sqrt(0.25 / 2).
    #[test]
    fn distances_are_root_mean_squares() {
        let found = moved(&[3.0, 4.0], &[0.0, 0.5]);
        assert!((found.moved - 12.5f64.sqrt()).abs() < 1e-6 && (found.distance - 0.125f64.sqrt()).abs() < 1e-6);
        assert!((found.largest - 0.5).abs() < 1e-6 && (found.ratio.unwrap() - 0.1).abs() < 1e-6);
        assert!(!found.follows && (found.excess() - 10.0).abs() < 0.01, "{found:?}");
        assert!(moved(&[3.0, 4.0], &[0.0, 0.01]).follows && moved(&[3.0, 4.0], &[0.0, 0.0]).excess() == 0.0);
    }

    #[test]
    fn a_single_number_is_not_hidden_by_the_mean_of_many() {
        let mut off = [0.0; 40_000];
        off[7] = 0.02;
        let found = moved(&[0.01; 40_000], &off);
        assert!(found.ratio.unwrap() < LIMIT && !found.follows, "{found:?}");
    }

    /// A tensor that hardly moves may differ by roundings, not by more; also one that does not move.
    #[test]
    fn roundings_are_allowed_where_little_moves() {
        let unit = f32::EPSILON;
        for by in [0.0, unit] {
            assert!(moved(&[by; 3], &[0.0, 0.0, unit]).follows);
            assert!(!moved(&[by; 3], &[0.0, 0.0, 100.0 * unit]).follows);
        }
        assert_eq!(moved(&[0.0], &[0.0]).ratio, None);
    }

    /// A tensor that is stored in bf16 and moves by less than a unit of it gives no result, whether near or far.
    #[test]
    fn a_stretch_that_rounding_hides_is_unclear() {
        let begin = [0.5f32, 0.753_906_25, 0.996_093_75];
        let follow = |by: f32| follow("x".to_owned(), [&begin, &begin.map(|w| w + by), &begin], Step(1));
        let (short, long) = (follow(0.001), follow(0.1));
        assert!(short.follows && !short.clear, "{short:?}");
        assert!(!long.follows && long.clear, "{long:?}");
        let good = moved(&[3.0, 4.0], &[0.0, 0.0]);
        assert_eq!(verdict(&[short.clone(), good.clone()]), Follows::Unclear);
        assert_eq!(verdict(&[short.clone(), good.clone(), good.clone()]), Follows::ToRounding);
        assert_eq!(verdict(&[long.clone(), good.clone(), good]), Follows::OutOfLine);
        assert_eq!(verdict(&[long, short]), Follows::Apart);
    }

    #[test]
    fn what_numbers_were_stored_as_shows() {
        let wide: Vec<f32> = (1..200).map(|i| 1.0 / i as f32).collect();
        let kept = |bits: u32| wide.iter().map(|v| f32::from_bits(v.to_bits() >> bits << bits)).collect::<Vec<_>>();
        assert_eq!([0, 13, 16].map(|cut| bits(&kept(cut))), [24, 11, 8]);
        assert_eq!((bits(&[1.0; 5]), bits(&[0.0, 1.0]), bits(&[])), (24, 1, 24));
    }
}
