//! Standard errors: of a mean by its formula, of other aggregates by bootstrap, with the random numbers of the harness.

use rayon::prelude::*;

use crate::metric::Aggregation;
use crate::metric::aggregation::{self, Confusion};
use crate::metric::translation;
use crate::numpy;
use crate::object::Object;
use crate::python::Random;

/// How many bootstraps the harness draws if nothing else is said.
pub const BOOTSTRAPS: usize = 100_000;
/// How many it draws at most for metrics that take long.
const SLOW: usize = 100;
/// How many are drawn from one stream of random numbers.
const CHUNK: usize = 1000;

/// The standard error of a metric; nothing where the harness writes `N/A`.
///
/// # Errors
///
/// If the aggregate of a draw does not exist.
pub fn standard_error(
    metric: &str,
    aggregation: Aggregation,
    values: &[Object],
    bootstraps: usize,
) -> Result<Option<f64>, String> {
    if bootstraps == 0 || values.len() < 2 {
        return Ok(None);
    }
    let slow = matches!(metric, "bleu" | "chrf" | "chrf++" | "ter");
    let draws = if slow { bootstraps.min(SLOW) } else { bootstraps };
    Ok(Some(match aggregation {
        Aggregation::Mean => mean_standard_error(&aggregation::numbers(values)?),
        Aggregation::NanMean | Aggregation::Median | Aggregation::Perplexity => {
            let numbers = aggregation::numbers(values)?;
            bootstrap(numbers.len(), draws, || {
                let numbers = &numbers;
                let mut drawn = vec![0.0; numbers.len()];
                move |places: &[u32]| {
                    for (drawn, place) in drawn.iter_mut().zip(places) {
                        *drawn = numbers[*place as usize];
                    }
                    match aggregation {
                        Aggregation::NanMean => Ok(aggregation::nan_mean(&drawn)),
                        Aggregation::Median => aggregation::median(&mut drawn),
                        _ => aggregation::perplexity(&drawn),
                    }
                }
            })?
        }
        Aggregation::F1 => {
            let pairs = aggregation::labels(values)?;
            bootstrap(pairs.len(), draws, || {
                let pairs = &pairs;
                move |places: &[u32]| aggregation::f1(places.iter().map(|place| pairs[*place as usize]))
            })?
        }
        Aggregation::Matthews => {
            let pairs = aggregation::labels(values)?;
            let (_, numbered) = aggregation::numbered(&pairs);
            bootstrap(pairs.len(), draws, || {
                let (numbered, mut confusion) = (&numbered, Confusion::of(&pairs));
                move |places: &[u32]| {
                    confusion.count(places.iter().map(|place| numbered[*place as usize]));
                    Ok(confusion.correlation())
                }
            })?
        }
        Aggregation::Bleu | Aggregation::Chrf | Aggregation::ChrfPlusPlus => {
            let Some(translation) = aggregation.translation() else { return Ok(None) };
            let counts = translation.counts(values)?;
            bootstrap(counts.len(), draws, || {
                let (counts, mut total) = (&counts, vec![0; counts.first().map_or(0, Vec::len)]);
                move |places: &[u32]| {
                    total.fill(0);
                    for place in places {
                        translation::add(&mut total, &counts[*place as usize]);
                    }
                    Ok(translation.score(&total))
                }
            })?
        }
        Aggregation::WeightedPerplexity
        | Aggregation::BitsPerByte
        | Aggregation::Brier
        | Aggregation::Bypass
        | Aggregation::Ported(_) => return Ok(None),
    }))
}

/// The standard error of a mean: the sample's deviation (with n - 1), divided by the root of n.
#[must_use]
pub fn mean_standard_error(values: &[f64]) -> f64 {
    sample_deviation(values) / numpy::count(values.len()).sqrt()
}

fn sample_deviation(values: &[f64]) -> f64 {
    let mean = aggregation::mean(values);
    let squares = numpy::python_sum(values.iter().map(|value| (value - mean) * (value - mean)));
    (squares / numpy::count(values.len() - 1)).sqrt()
}

/// The deviation of a statistic over samples drawn with replacement. Chunk `i` has the random numbers of
/// `random.Random(i)`, so that chunks can be drawn in parallel. `statistic` makes one function per chunk, which may keep
/// memory between draws.
fn bootstrap<F>(length: usize, draws: usize, statistic: impl Fn() -> F + Sync) -> Result<f64, String>
where
    F: FnMut(&[u32]) -> Result<f64, String>,
{
    if u32::try_from(length).is_err() {
        return Err(format!("{length} documents are too many for a bootstrap"));
    }
    let chunk = draws.min(CHUNK);
    let chunks = draws / chunk;
    if chunk * chunks < 2 {
        return Err("one bootstrap has no deviation; the harness stops here too".to_owned());
    }
    let size = numpy::count(length);
    let drawn: Vec<Vec<f64>> = (0..chunks as u64)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::new(seed);
            let mut statistic = statistic();
            let mut places = vec![0_u32; length];
            (0..chunk)
                .map(|_| {
                    for place in &mut places {
                        *place = whole(random.random() * size);
                    }
                    statistic(&places)
                })
                .collect()
        })
        .collect::<Result<_, String>>()?;
    Ok(sample_deviation(&drawn.concat()))
}

/// Python's `floor` of a number from 0 to the number of documents.
fn whole(number: f64) -> u32 {
    number as u32
}
