//! The names of numbers in a results file of lm-evaluation-harness.
//!
//! Below `results` and a task's name, a number is stored as `METRIC,FILTER`, and its standard error as
//! `METRIC_stderr,FILTER`. The filter is what was applied to the model's answers before they were scored; `none` is
//! the name of no filter. Before version 0.4 of the harness, a name had no filter: `acc`, `acc_stderr`.

use std::borrow::Cow;
use std::fmt;

/// The ending of a metric's name that is the standard error of another metric.
const STDERR: &str = "_stderr";
/// The filter that changes nothing.
const NO_FILTER: &str = "none";

/// The name of a number in the results of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResultKey<'a> {
    /// The metric: `acc`.
    pub metric: &'a str,
    /// The filter: `none`, `strict-match`. The old form has none.
    pub filter: Option<&'a str>,
    /// Whether the number is the metric's standard error, and not its value.
    pub stderr: bool,
}

impl<'a> ResultKey<'a> {
    /// The value of a metric over unfiltered answers.
    pub const fn unfiltered(metric: &'a str) -> Self {
        Self { metric, filter: Some(NO_FILTER), stderr: false }
    }

    /// Reads a name. Every text is a valid name.
    pub fn parse(key: &'a str) -> Self {
        let (metric, filter) = key.split_once(',').map_or((key, None), |(metric, filter)| (metric, Some(filter)));
        match metric.strip_suffix(STDERR) {
            Some(metric) => Self { metric, filter, stderr: true },
            None => Self { metric, filter, stderr: false },
        }
    }

    /// The name of this metric's standard error.
    #[must_use]
    pub const fn stderr(self) -> Self {
        Self { stderr: true, ..self }
    }

    /// Whether no filter changed the answers.
    pub fn is_unfiltered(self) -> bool {
        self.filter.is_none_or(|filter| filter == NO_FILTER)
    }

    /// The name of the metric in tables: its name, and its filter if there is one.
    pub fn label(self) -> Cow<'a, str> {
        match self.filter {
            Some(filter) if filter != NO_FILTER => format!("{},{filter}", self.metric).into(),
            _ => self.metric.into(),
        }
    }
}

impl fmt::Display for ResultKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric)?;
        if self.stderr {
            f.write_str(STDERR)?;
        }
        self.filter.map_or(Ok(()), |filter| write!(f, ",{filter}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that versions 0.3 and 0.4 of the harness wrote.
    #[test]
    fn names_are_read_and_written() {
        for (name, metric, filter, stderr, label) in [
            ("acc", "acc", None, false, "acc"),
            ("acc_stderr", "acc", None, true, "acc"),
            ("acc_norm,none", "acc_norm", Some("none"), false, "acc_norm"),
            ("acc_norm_stderr,none", "acc_norm", Some("none"), true, "acc_norm"),
            ("exact_match,strict-match", "exact_match", Some("strict-match"), false, "exact_match,strict-match"),
            ("pass@1,a,b", "pass@1", Some("a,b"), false, "pass@1,a,b"),
            ("", "", None, false, ""),
            (",", "", Some(""), false, ","),
        ] {
            let key = ResultKey::parse(name);
            assert_eq!(key, ResultKey { metric, filter, stderr }, "{name}");
            assert_eq!((key.to_string().as_str(), key.label().as_ref()), (name, label));
        }
        assert_eq!(ResultKey::unfiltered("acc").stderr().to_string(), "acc_stderr,none");
    }
}
