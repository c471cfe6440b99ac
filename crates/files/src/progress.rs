//! Reports the progress of long operations, without depending on the receiver.

/// The unit in which work is counted.
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

/// A receiver of progress reports.
pub trait Progress: Send + Sync {
    /// Work of `total` units begins.
    fn begin(&self, _what: &str, _total: u64, _unit: Unit) {}
    /// `by` more units are done.
    fn advance(&self, _by: u64) {}
    /// Additional information beside the count, such as the loss.
    fn note(&self, _text: &str) {}
    /// An event that is worth a line that stays visible.
    fn remark(&self, _text: &str) {}
    /// The work is done.
    fn end(&self) {}
}

/// A receiver that ignores all reports.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {}
