//! What the metrics of multiple choice are of one document.

use crate::numpy;
use crate::object::Object;

/// The answers to the choices of one document.
#[derive(Debug, Clone)]
pub struct Choices<'a> {
    /// The texts of the choices, without the delimiter.
    pub texts: &'a [String],
    /// How likely each choice is. Without `acc_mutual_info` this has all answers.
    pub likelihoods: &'a [f64],
    /// How likely each choice is without a context, if that was asked.
    pub unconditional: Option<&'a [f64]>,
    /// Whether each is the greedy continuation.
    pub greedy: &'a [bool],
    /// Which are right.
    pub gold: Gold,
}

/// Which choices are right.
#[derive(Debug, Clone, PartialEq)]
pub enum Gold {
    /// One. The harness writes -100 where a target is no choice; other negative numbers count from the end.
    One(i128),
    /// Any of these.
    AnyOf(Vec<i128>),
}

/// What the harness puts in the place of a target that is no choice.
pub(crate) const NO_CHOICE: i128 = -100;

impl Gold {
    fn contains(&self, choice: usize) -> bool {
        let choice = choice as i128;
        match self {
            Self::One(gold) => *gold == choice,
            Self::AnyOf(golds) => golds.contains(&choice),
        }
    }

    fn object(&self) -> Object {
        match self {
            Self::One(gold) => Object::Integer(*gold),
            Self::AnyOf(golds) => Object::List(golds.iter().copied().map(Object::Integer).collect()),
        }
    }
}

impl Choices<'_> {
    /// The likelihoods as they are.
    pub(super) fn plain(&self) -> Result<Vec<f64>, String> {
        Ok(self.likelihoods.to_vec())
    }

    /// Divided by the characters of each choice: not its bytes, and without the delimiter.
    pub(super) fn per_character(&self) -> Result<Vec<f64>, String> {
        self.divided(|text| text.chars().count())
    }

    /// Divided by the bytes of each choice in UTF-8.
    pub(super) fn per_byte(&self) -> Result<Vec<f64>, String> {
        self.divided(str::len)
    }

    fn divided(&self, length: fn(&str) -> usize) -> Result<Vec<f64>, String> {
        self.fits()?;
        let pairs = self.likelihoods.iter().zip(self.texts);
        Ok(pairs.map(|(likelihood, text)| likelihood / numpy::count(length(text))).collect())
    }

    /// Whether there is a likelihood of each choice.
    pub(crate) fn fits(&self) -> Result<(), String> {
        let (likelihoods, texts) = (self.likelihoods.len(), self.texts.len());
        if likelihoods == texts { Ok(()) } else { Err(format!("{likelihoods} answers to {texts} choices")) }
    }

    pub(super) fn best(&self, of: fn(&Self) -> Result<Vec<f64>, String>) -> Result<usize, String> {
        numpy::argmax(&of(self)?).ok_or_else(|| "there are no choices".to_owned())
    }

    pub(super) fn right(&self, choice: Result<usize, String>) -> Result<Object, String> {
        Ok(Object::Float(if self.gold.contains(choice?) { 1.0 } else { 0.0 }))
    }

    pub(super) fn gold_and_best(&self) -> Result<Object, String> {
        Ok(Object::Tuple(vec![self.gold.object(), Object::Integer(self.best(Self::plain)? as i128)]))
    }

    pub(super) fn greedy(&self) -> Result<Object, String> {
        let greedy = |gold: i128| -> Result<bool, String> {
            if gold == NO_CHOICE {
                return Ok(false);
            }
            let length = self.greedy.len() as i128;
            let place = if gold < 0 { gold + length } else { gold };
            usize::try_from(place)
                .ok()
                .and_then(|place| self.greedy.get(place).copied())
                .ok_or_else(|| format!("the target {gold} is not one of {length} answers"))
        };
        let any = match &self.gold {
            Gold::One(gold) => greedy(*gold)?,
            Gold::AnyOf(golds) => {
                let mut any = false;
                for gold in golds {
                    any = any || greedy(*gold)?;
                }
                any
            }
        };
        Ok(Object::Integer(i128::from(any)))
    }

    pub(super) fn gold_and_probabilities(&self) -> Result<Object, String> {
        Ok(Object::Tuple(vec![self.gold.object(), Object::Array(numpy::softmax(self.likelihoods))]))
    }

    pub(super) fn gold_and_likelihoods(&self) -> Result<Object, String> {
        let likelihoods = Object::Tuple(self.likelihoods.iter().copied().map(Object::Float).collect());
        Ok(Object::Tuple(vec![self.gold.object(), likelihoods]))
    }

    pub(super) fn mutual_information(&self) -> Result<Object, String> {
        let unconditional = self.unconditional.ok_or("the choices were not asked without a context")?;
        let gains: Vec<f64> =
            self.likelihoods.iter().zip(unconditional).map(|(with, without)| with - without).collect();
        let best = numpy::argmax(&gains).ok_or("there are no choices")? as i128;
        let gold = match &self.gold {
            Gold::One(gold) => *gold,
            Gold::AnyOf(golds) => match golds.as_slice() {
                [gold] => *gold,
                _ => {
                    return Err(
                        "acc_mutual_info has no rule for several targets; the harness stops here too".to_owned()
                    );
                }
            },
        };
        Ok(Object::Float(if best == gold { 1.0 } else { 0.0 }))
    }
}
