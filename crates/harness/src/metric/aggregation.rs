//! How the values of a metric of all documents are put together.

use super::translation::Translation;
use crate::document::Aggregate;
use crate::numpy;
use crate::object::Object;

/// How the values of a metric of all documents are put together (`aggregation`).
#[derive(Debug, Clone, Copy)]
pub enum Aggregation {
    /// The mean.
    Mean,
    /// The mean of those that are numbers.
    NanMean,
    /// The middle one of the sorted values; of an even number the higher of the two.
    Median,
    /// e to the power of the negative mean.
    Perplexity,
    /// e to the power of the negative sum, divided by the sum of the weights.
    WeightedPerplexity,
    /// The negative sum divided by the sum of the weights, in bits.
    BitsPerByte,
    /// Brier's score: the mean squared distance to the truth, summed over choices.
    Brier,
    /// F1 of the class 1.
    F1,
    /// Matthews' correlation.
    Matthews,
    /// BLEU of the corpus.
    Bleu,
    /// chrF of the corpus.
    Chrf,
    /// chrF++ of the corpus.
    ChrfPlusPlus,
    /// None: 999.
    Bypass,
    /// A function of the task, ported.
    Ported(Aggregate),
}

/// What the harness registers as aggregations and this crate refuses.
pub const REFUSED: [&str; 1] = ["ter"];

impl Aggregation {
    /// By the name that a task gives; nothing if there is no such aggregation.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "mean" => Self::Mean,
            "nanmean" => Self::NanMean,
            "median" => Self::Median,
            "perplexity" => Self::Perplexity,
            "weighted_perplexity" => Self::WeightedPerplexity,
            "bits_per_byte" => Self::BitsPerByte,
            "brier_score" => Self::Brier,
            "f1" => Self::F1,
            "matthews_corrcoef" => Self::Matthews,
            "bleu" => Self::Bleu,
            "chrf" => Self::Chrf,
            "chrf++" => Self::ChrfPlusPlus,
            "bypass" => Self::Bypass,
            _ => return None,
        })
    }

    /// The metric of translation that it is, if it is one.
    pub(crate) fn translation(self) -> Option<Translation> {
        match self {
            Self::Bleu => Some(Translation::Bleu),
            Self::Chrf => Some(Translation::Chrf { words: 0 }),
            Self::ChrfPlusPlus => Some(Translation::Chrf { words: 2 }),
            _ => None,
        }
    }

    /// The aggregate of the values.
    ///
    /// # Errors
    ///
    /// If there is none, or the harness would stop with an error.
    pub fn of(self, values: &[Object]) -> Result<Object, String> {
        if values.is_empty() {
            return Err("no document has a value".to_owned());
        }
        Ok(Object::Float(match self {
            Self::Bypass => return Ok(Object::Integer(999)),
            Self::Mean => mean(&numbers(values)?),
            Self::NanMean => nan_mean(&numbers(values)?),
            // A whole number stays one.
            Self::Median => return middle(values),
            Self::Perplexity => perplexity(&numbers(values)?)?,
            Self::WeightedPerplexity => power(-weighted_mean(values)?)?,
            Self::BitsPerByte => -weighted_mean(values)? / std::f64::consts::LN_2,
            Self::Brier => brier(values)?,
            Self::Bleu | Self::Chrf | Self::ChrfPlusPlus => match self.translation() {
                Some(translation) => translation.of(values)?,
                None => return Err("it is no metric of translation".to_owned()),
            },
            Self::F1 => f1(labels(values)?.into_iter())?,
            Self::Matthews => Confusion::of(&labels(values)?).correlation(),
            Self::Ported(aggregate) => {
                let values: Option<Vec<_>> = values.iter().map(Object::to_json).collect();
                aggregate(
                    &values.ok_or("a value is not a finite number, which the task's own function cannot be given")?,
                )?
            }
        }))
    }
}

/// The values as numbers.
pub(crate) fn numbers(values: &[Object]) -> Result<Vec<f64>, String> {
    values
        .iter()
        .map(|value| value.number().ok_or_else(|| format!("a value is {}, not a number", value.kind())))
        .collect()
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    numpy::python_sum(values.iter().copied()) / numpy::count(values.len())
}

pub(crate) fn nan_mean(values: &[f64]) -> f64 {
    let (mut kept, mut present) = (Vec::with_capacity(values.len()), 0);
    for value in values {
        present += usize::from(!value.is_nan());
        kept.push(if value.is_nan() { 0.0 } else { *value });
    }
    if present == 0 { f64::NAN } else { numpy::sum(&kept) / numpy::count(present) }
}

fn middle(values: &[Object]) -> Result<Object, String> {
    let mut keyed: Vec<(f64, &Object)> = numbers(values)?.into_iter().zip(values).collect();
    median(&mut numbers(values)?)?;
    keyed.sort_by(|left, right| left.0.partial_cmp(&right.0).unwrap_or(std::cmp::Ordering::Equal));
    Ok(keyed[keyed.len() / 2].1.clone())
}

/// The order of the values changes.
pub(crate) fn median(values: &mut [f64]) -> Result<f64, String> {
    if values.iter().any(|value| value.is_nan()) {
        // Python's sort leaves such lists in an order that depends on how it goes about it.
        return Err("a value is not a number (NaN), so that there is no median".to_owned());
    }
    let middle = values.len() / 2;
    Ok(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

pub(crate) fn perplexity(values: &[f64]) -> Result<f64, String> {
    power(-mean(values))
}

/// e to this power; as in Python an error where the result of a finite power is none.
pub(crate) fn power(exponent: f64) -> Result<f64, String> {
    let power = libm::exp(exponent);
    if power.is_infinite() && exponent.is_finite() {
        return Err(format!("e to the power of {exponent} is larger than any float; the harness stops here too"));
    }
    Ok(power)
}

fn weighted_mean(values: &[Object]) -> Result<f64, String> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for value in values {
        let (Object::Tuple(pair) | Object::List(pair)) = value else {
            return Err(format!("a value is {}, not a pair of a likelihood and a weight", value.kind()));
        };
        match pair.as_slice() {
            [value, weight] => {
                sum += value.number().ok_or("a likelihood is not a number")?;
                weights += weight.number().ok_or("a weight is not a number")?;
            }
            _ => return Err("a value is not a pair".to_owned()),
        }
    }
    if weights == 0.0 {
        return Err("the weights are 0".to_owned());
    }
    Ok(sum / weights)
}

fn brier(values: &[Object]) -> Result<f64, String> {
    let mut classes = None;
    let mut distances = Vec::with_capacity(values.len());
    for value in values {
        let (Object::Tuple(pair) | Object::List(pair)) = value else {
            return Err(format!("a value is {}, not a pair of a target and probabilities", value.kind()));
        };
        let [gold, probabilities] = pair.as_slice() else { return Err("a value is not a pair".to_owned()) };
        let gold = gold.integer().ok_or("a target is not one number; the harness has no rule for several")?;
        let probabilities: Vec<f64> = match probabilities {
            Object::Array(probabilities) => probabilities.clone(),
            Object::List(probabilities) | Object::Tuple(probabilities) => numbers(probabilities)?,
            other => return Err(format!("probabilities are {}, not a list", other.kind())),
        };
        let count = probabilities.len();
        if *classes.get_or_insert(count) != count {
            return Err("documents have different numbers of choices; the harness stops here too".to_owned());
        }
        let length = count as i128;
        let target = usize::try_from(if gold < 0 { gold + length } else { gold }).ok().filter(|gold| *gold < count);
        let target =
            target.ok_or_else(|| format!("a target is {gold} of {count} choices; the harness stops here too"))?;
        let squares: Vec<f64> = probabilities
            .iter()
            .enumerate()
            .map(|(choice, probability)| {
                let distance = probability - if choice == target { 1.0 } else { 0.0 };
                distance * distance
            })
            .collect();
        distances.push(numpy::sum(&squares));
    }
    Ok(numpy::sum(&distances) / numpy::count(distances.len()))
}

/// Pairs of a target and a choice.
pub(crate) fn labels(values: &[Object]) -> Result<Vec<(i128, i128)>, String> {
    values
        .iter()
        .map(|value| match value {
            Object::Tuple(pair) | Object::List(pair) => match pair.as_slice() {
                [gold, choice] => match (gold.integer(), choice.integer()) {
                    (Some(gold), Some(choice)) => Ok((gold, choice)),
                    _ => Err("classes that are not whole numbers are not supported".to_owned()),
                },
                _ => Err("a value is not a pair".to_owned()),
            },
            other => Err(format!("a value is {}, not a pair of two classes", other.kind())),
        })
        .collect()
}

/// F1 of the class 1, of two classes at most.
pub(crate) fn f1(pairs: impl Iterator<Item = (i128, i128)>) -> Result<f64, String> {
    let (mut both, mut gold_ones, mut chosen_ones) = (0_usize, 0_usize, 0_usize);
    // The classes besides 1.
    let mut others: [Option<i128>; 2] = [None; 2];
    for (gold, choice) in pairs {
        both += usize::from(gold == 1 && choice == 1);
        gold_ones += usize::from(gold == 1);
        chosen_ones += usize::from(choice == 1);
        for class in [gold, choice] {
            if class != 1 && !others.contains(&Some(class)) {
                if others[0].is_none() {
                    others[0] = Some(class);
                } else {
                    others[1] = Some(class);
                }
            }
        }
    }
    if others[1].is_some() {
        return Err("F1 is of the class 1 and one other class; the harness stops here too".to_owned());
    }
    let (twice, all) = (numpy::count(2 * both), numpy::count(gold_ones + chosen_ones));
    Ok(if all == 0.0 { 0.0 } else { twice / all })
}

/// How often each class was meant and chosen.
pub(crate) struct Confusion {
    gold: Vec<usize>,
    chosen: Vec<usize>,
    right: usize,
    all: usize,
}

impl Confusion {
    /// Of pairs of a target and a choice.
    pub(crate) fn of(pairs: &[(i128, i128)]) -> Self {
        let (classes, numbered) = numbered(pairs);
        let mut confusion = Self { gold: vec![0; classes], chosen: vec![0; classes], right: 0, all: 0 };
        confusion.count(numbered.into_iter());
        confusion
    }

    /// Counts anew, pairs of classes that are numbered from 0.
    pub(crate) fn count(&mut self, pairs: impl Iterator<Item = (usize, usize)>) {
        self.gold.fill(0);
        self.chosen.fill(0);
        (self.right, self.all) = (0, 0);
        for (gold, chosen) in pairs {
            self.gold[gold] += 1;
            self.chosen[chosen] += 1;
            self.right += usize::from(gold == chosen);
            self.all += 1;
        }
    }

    pub(crate) fn correlation(&self) -> f64 {
        let all = numpy::count(self.all);
        let product = |left: &[usize], right: &[usize]| -> f64 {
            left.iter().zip(right).map(|(left, right)| numpy::count(*left) * numpy::count(*right)).sum()
        };
        let both = numpy::count(self.right) * all - product(&self.gold, &self.chosen);
        let chosen = all * all - product(&self.chosen, &self.chosen);
        let gold = all * all - product(&self.gold, &self.gold);
        let spread = chosen * gold;
        if spread == 0.0 { 0.0 } else { both / spread.sqrt() }
    }
}

/// The number of classes, and pairs with each class numbered from 0 in its order.
pub(crate) fn numbered(pairs: &[(i128, i128)]) -> (usize, Vec<(usize, usize)>) {
    let mut classes: Vec<i128> = pairs.iter().flat_map(|(gold, choice)| [*gold, *choice]).collect();
    classes.sort_unstable();
    classes.dedup();
    let place = |class: i128| classes.partition_point(|other| *other < class);
    (classes.len(), pairs.iter().map(|(gold, choice)| (place(*gold), place(*choice))).collect())
}
