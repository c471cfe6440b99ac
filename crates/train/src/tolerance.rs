//! A stretch of someone else's run computed again, and how close it comes.
//!
//! Another framework adds in another order, so its bits are not to be had. What can be asked is
//! whether the distance between the two ends is small against the way that the stretch went. Within
//! a step both are within a few roundings of the same real number; a mistake of any size (another
//! batch, rate, decay, an altered tensor) leaves a trace of the size of a step, or of itself.

use retrace_files::{Progress, Root, Unit};
use retrace_model::Network;
use retrace_spec::{Run, Step};
use serde::Serialize;

use crate::state::{OPTIMIZER, inside, moment_names, of_model, read_moments};
use crate::{State, TrainError, Trainer};

/// A tensor follows if the two ends are no further apart than this share of the way (both as root
/// mean squares), beyond what rounding explains ([`Followed::rounding`]).
///
/// Twenty steps of a small Llama in PyTorch and here, in binary32, end at most 2e-4 of the way apart
/// (`tests/foreign.sh`); a matrix scaled by 1.001 is 2e-1 of the way off, and another order of the same
/// sequences 4e-1 to 2. The limit is in the middle of these, as factors go.
pub const LIMIT: f64 = 1e-2;

/// No single number may be further off than this many times the way's root mean square, beyond what
/// rounding explains: a large tensor's mean would hide it. AdamW may move a number whose gradient is
/// all rounding by up to its rate, which is what the way of most numbers is made of.
pub const FURTHEST: f64 = 1.0;

/// Roundings by which a tensor may be off beyond its share of the way.
const ROUNDINGS: f64 = 4.0;
/// The same of a single number: one much larger than most is rounded by as much more.
const FURTHEST_ROUNDINGS: f64 = 32.0;

/// How closely a computation of ours follows another's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tolerance {
    /// The steps that were computed.
    pub steps: Step,
    /// What came of it.
    pub verdict: Follows,
    /// The share of the way that a tensor may be off: [`LIMIT`].
    pub limit: f64,
    /// The median of the tensors' ratios.
    pub median_ratio: f64,
    /// Whether their moments were compared too.
    pub moments: bool,
    /// Every tensor, sorted by name.
    pub tensors: Vec<Followed>,
}

/// Whether a computation follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Follows {
    /// Every tensor is as close as other roundings leave it.
    ToRounding,
    /// Most tensors are; some are out of line with them.
    OutOfLine,
    /// Half of the tensors or more are not.
    Apart,
    /// None is off by more than rounding explains, but half or more moved by less than that: numbers
    /// stored in bf16 take a longer stretch to tell.
    Unclear,
}

/// How close one tensor comes. Distances are between our end of the stretch and theirs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Followed {
    /// Its name; a moment's begins with `first_moment.` or `second_moment.`.
    pub name: String,
    /// The root mean square of the distance.
    pub distance: f64,
    /// The largest.
    pub largest: f64,
    /// The way: the root mean square of what our steps moved it by.
    pub moved: f64,
    /// The root mean square of what rounding explains: of both ends and the beginning to the numbers
    /// that they are stored as, and of every step on both sides to binary32.
    pub rounding: f64,
    /// Distance by way; none where nothing moved.
    pub ratio: Option<f64>,
    /// Whether it is as close as other roundings leave it.
    pub follows: bool,
    /// Whether it moved by more than rounding would hide.
    pub clear: bool,
}

impl Followed {
    /// How far it is out of line: 1 is just as far as may be.
    pub fn excess(&self) -> f64 {
        let of = |distance: f64, limit: f64, roundings: f64| match distance == 0.0 {
            true => 0.0,
            false => distance / (limit * self.moved + roundings * self.rounding),
        };
        of(self.distance, LIMIT, ROUNDINGS).max(of(self.largest, FURTHEST, FURTHEST_ROUNDINGS))
    }
}

impl Tolerance {
    /// The tensors that do not follow, worst first.
    pub fn findings(&self) -> Vec<&Followed> {
        let mut found: Vec<_> = self.tensors.iter().filter(|tensor| !tensor.follows).collect();
        found.sort_by(|a, b| b.excess().total_cmp(&a.excess()).then_with(|| a.name.cmp(&b.name)));
        found
    }
}

/// Computes all of `run`, whose paths are relative to `root` and whose model is `network`, in memory, and
/// compares its end with the checkpoint in the hub directory `theirs`: weights, and moments where that has them in
/// `optimizer.safetensors`.
///
/// # Errors
/// If something cannot be read, or `theirs` is of another model.
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

/// Compares a tensor at the beginning, at our end and at theirs.
fn follow(name: String, [begin, ours, theirs]: [&[f32]; 3], steps: Step) -> Followed {
    let count = ours.len().max(1) as f64;
    let mean = |squares: f64| (squares / count).sqrt();
    let apart = |a: &[f32], b: &[f32]| {
        let each = a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b));
        each.fold((0.0, 0.0), |(squares, largest): (f64, f64), by| (squares + by * by, largest.max(by.abs())))
    };
    let (squares, largest) = apart(ours, theirs);
    let (distance, moved) = (mean(squares), mean(apart(begin, ours).0));
    // A number that is rounded is off by up to half a unit in the last place, evenly spread.
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

/// The significant bits that the numbers of a tensor need, which tell what it was stored as: 8 of
/// bf16, 11 of f16, 24 of binary32. A tensor of one number again and again (a norm that is still 1)
/// tells nothing, and has the latter.
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

    /// By hand: a way of (3, 4) is sqrt(25 / 2) long, a distance of (0, 0.5) is sqrt(0.25 / 2).
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

    /// A tensor that hardly moves may be off by roundings, not by more; one that does not move at all too.
    #[test]
    fn roundings_are_allowed_where_little_moves() {
        let unit = f32::EPSILON;
        for by in [0.0, unit] {
            assert!(moved(&[by; 3], &[0.0, 0.0, unit]).follows);
            assert!(!moved(&[by; 3], &[0.0, 0.0, 100.0 * unit]).follows);
        }
        assert_eq!(moved(&[0.0], &[0.0]).ratio, None);
    }

    /// What is stored in bf16 and moves by less than a unit of it tells nothing, near or far.
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
