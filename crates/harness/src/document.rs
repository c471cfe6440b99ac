//! What is known of a document of a task besides its requests, and the ported functions that score it.

use serde_json::{Map, Value};

/// A document of the split that is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its columns, after `process_docs`.
    pub columns: Map<String, Value>,
    /// What `doc_to_target` gives: a number, a text or a list of texts.
    pub target: Value,
    /// What `doc_to_choice` gives; empty without choices.
    pub choices: Vec<String>,
    /// What `doc_to_text` gives, if it is a number: the right one of several contexts.
    pub input: Option<i64>,
}

/// A port of a task's `process_results`: the document's columns and the filtered answers of its requests, to the
/// values of the metrics for this document.
pub type ProcessResults = fn(&Map<String, Value>, &[Value]) -> Result<Vec<(String, Value)>, String>;

/// A port of a task's own aggregation: the values of all documents to the metric.
pub type Aggregate = fn(&[Value]) -> Result<f64, String>;
