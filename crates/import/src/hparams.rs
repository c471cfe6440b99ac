//! The data of TensorBoard's plugin for hyperparameters, in the event files of a run: `HParamsPluginData` of
//! `tensorboard/plugins/hparams/plugin_data.proto` (2.21).
//!
//! The function `add_hparams` of PyTorch and tensorboardX writes the hyperparameters, the names of the run's results, and
//! the results as scalars of step 0.

use std::collections::HashSet;

use prost::{DecodeError, Message};

use crate::protobuf::fields;
use crate::rows::LONGEST_NAME;

/// The name of the plugin.
pub(crate) const PLUGIN: &str = "hparams";
/// The most names of results that are kept.
const MOST_RESULTS: usize = 10_000;

/// What a file says of its run.
#[derive(Debug, Default)]
pub(crate) struct Hparams {
    results: HashSet<String>,
}

/// `google.protobuf.Value`, of a number, a text or a truth.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(double, optional, tag = "2")]
    number: Option<f64>,
    #[prost(string, optional, tag = "3")]
    text: Option<String>,
    #[prost(bool, optional, tag = "4")]
    truth: Option<bool>,
}

/// The tags on the way to names and values: `experiment.metric_infos.name.tag`, `session_start_info.hparams`.
mod tag {
    pub(super) const EXPERIMENT: u32 = 2;
    pub(super) const METRIC_INFOS: u32 = 5;
    pub(super) const METRIC_NAME: u32 = 1;
    pub(super) const METRIC_TAG: u32 = 2;
    pub(super) const SESSION_START: u32 = 3;
    /// A map: each entry has a key (1) and a value (2).
    pub(super) const HPARAMS: u32 = 1;
}

/// The parts of a message with this tag.
fn parts(message: &[u8], wanted: u32) -> Result<Vec<&[u8]>, DecodeError> {
    let mut found = Vec::new();
    fields(message, |tag, part| {
        found.extend((tag == wanted).then_some(part));
        Ok::<(), DecodeError>(())
    })?;
    Ok(found)
}

impl Hparams {
    /// Reads the data of a value. Calls `each` for every hyperparameter: its name after `hparams.`, its text, and its
    /// number if it is one.
    pub(crate) fn take(
        &mut self,
        data: &[u8],
        mut each: impl FnMut(&str, &str, Option<f64>),
    ) -> Result<(), DecodeError> {
        for experiment in parts(data, tag::EXPERIMENT)? {
            for info in parts(experiment, tag::METRIC_INFOS)? {
                for name in parts(info, tag::METRIC_NAME)? {
                    for name in parts(name, tag::METRIC_TAG)? {
                        if name.len() <= LONGEST_NAME && self.results.len() < MOST_RESULTS {
                            self.results.insert(String::from_utf8_lossy(name).into_owned());
                        }
                    }
                }
            }
        }
        for session in parts(data, tag::SESSION_START)? {
            for entry in parts(session, tag::HPARAMS)? {
                let (key, value) = (parts(entry, 1)?, parts(entry, 2)?);
                let name = format!("{PLUGIN}.{}", String::from_utf8_lossy(key.last().copied().unwrap_or_default()));
                let value = Value::decode(value.last().copied().unwrap_or_default())?;
                let text = value.number.map(|number| number.to_string()).or(value.text);
                let text = text.or(value.truth.map(|truth| truth.to_string()));
                // Neither: null, a list or an object, which the plugin does not show.
                let text = text.unwrap_or_else(|| "null".to_owned());
                each(&name, &text, value.number);
            }
        }
        Ok(())
    }

    /// Whether a tag is the name of a result that is listed beside the hyperparameters.
    pub(crate) fn is_result(&self, tag: &str) -> bool {
        self.results.contains(tag)
    }
}
