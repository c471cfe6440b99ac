//! Reports the progress of long work, without knowing the receiver.

/// What work is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes read.
    Bytes,
    /// Files.
    Files,
    /// Documents of a corpus.
    Documents,
    /// Steps of a run.
    Steps,
    /// Items of a benchmark.
    Items,
}

/// Someone who listens.
pub trait Progress: Send + Sync {
    /// Work of `total` units begins.
    fn begin(&self, _what: &str, _total: u64, _unit: Unit) {}
    /// `by` more units are done.
    fn advance(&self, _by: u64) {}
    /// Something worth showing beside the count, such as the loss.
    fn note(&self, _text: &str) {}
    /// Something that happened, worth a line of its own that stays.
    fn remark(&self, _text: &str) {}
    /// The work is done.
    fn end(&self) {}
}

/// Nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {}
