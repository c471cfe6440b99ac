//! Which documents are the examples of a prompt.

use crate::python::{Dict, Random, Value};

/// Chooses examples, with one stream of random numbers for all documents of a task.
#[derive(Debug)]
pub(crate) struct Sampler {
    documents: Vec<Dict>,
    first: bool,
    random: Random,
}

impl Sampler {
    /// A sampler by its name, which the configuration has checked.
    pub(crate) fn new(name: &str, documents: Vec<Dict>, seed: u64) -> Self {
        Self { documents, first: name == "first_n", random: Random::new(seed) }
    }

    /// `count` examples; none of them is `asked`, if that is given because it is of the same split.
    pub(crate) fn sample(&mut self, count: usize, asked: Option<&Dict>) -> Result<Vec<&Dict>, String> {
        let few = |there: usize| format!("it needs {count} examples, and there are {there} to choose from");
        let asked = asked.filter(|asked| self.first || !asked.is_empty());
        let is_other = |document: &&Dict| asked.is_none_or(|asked| !document.equals(asked));
        if self.first {
            let pool: Vec<&Dict> = self.documents.iter().filter(is_other).take(count).collect();
            return if pool.len() < count { Err(few(pool.len())) } else { Ok(pool) };
        }
        let drawn = count + usize::from(asked.is_some());
        let places = self.random.sample(self.documents.len(), drawn).ok_or_else(|| few(self.documents.len()))?;
        let chosen: Vec<&Dict> = places.iter().map(|at| &self.documents[*at]).filter(is_other).take(count).collect();
        if chosen.len() == count {
            return Ok(chosen);
        }
        // More than one of those drawn is the document itself.
        let pool: Vec<&Dict> = self.documents.iter().filter(is_other).collect();
        let places = self.random.sample(pool.len(), count).ok_or_else(|| few(pool.len()))?;
        Ok(places.into_iter().map(|at| pool[at]).collect())
    }
}

/// The documents that `fewshot_config` lists itself.
pub(crate) fn listed(samples: &Value) -> Result<Vec<Dict>, String> {
    let list = samples.list().ok_or("`samples` of `fewshot_config` is no list")?;
    let of = |item: &Value| item.dict().cloned().ok_or_else(|| format!("a sample is a {}", item.kind()));
    list.iter().map(of).collect()
}
