//! JSON lines in which `NaN`, `Infinity` and `-Infinity` may stand for numbers, as Python's `json` writes them.
//!
//! JSON has no such numbers, and Arrow's reader refuses them; but it reads a text as a float if the column is one. So
//! each of them becomes a text before Arrow reads the line, and a number before the types of columns are inferred.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::json::reader::{Decoder, ValueIter, infer_json_schema_from_iterator};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, JsonSource,
};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::SessionState;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio_stream::{Stream, StreamExt};

/// The number of bytes that are read from a file at a time.
const AT_ONCE: u64 = 256 << 10;
/// The numbers that JSON does not have, with the text by which Arrow reads each as a float.
const ODD: [(&[u8], &[u8]); 3] = [(b"NaN", b"\"NaN\""), (b"-Infinity", b"\"-inf\""), (b"Infinity", b"\"inf\"")];
/// What stands for each of them while types are inferred.
const A_FLOAT: &[u8] = b"0.5";

/// Appends whole lines to `out`, with `NaN` and infinities outside texts replaced; returns whether there are any.
fn replace(lines: &[u8], by_float: bool, out: &mut Vec<u8>) -> bool {
    // Most lines have neither an `N` followed by `aN` nor an `I` by `nf`, and need not be read byte by byte.
    let has = |word: &[u8]| lines.windows(word.len()).any(|part| part == word);
    if !has(b"NaN") && !has(b"Infinity") {
        out.extend_from_slice(lines);
        return false;
    }
    let (mut at, mut in_text, mut found) = (0, false, false);
    while let Some(byte) = lines.get(at) {
        let rest = &lines[at..];
        if in_text && *byte == b'\\' {
            out.extend_from_slice(&rest[..rest.len().min(2)]);
            at += 2;
            continue;
        }
        // A text does not go beyond its line, so a damaged line changes no other.
        in_text = (in_text != (*byte == b'"')) && *byte != b'\n';
        match ODD.iter().find(|(word, _)| !in_text && rest.starts_with(word)) {
            Some((word, text)) => {
                out.extend_from_slice(if by_float { A_FLOAT } else { text });
                at += word.len();
                found = true;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    found
}

/// A file with its lines replaced, for inferring types.
struct Replaced<R> {
    of: R,
    line: Vec<u8>,
    ready: Cursor<Vec<u8>>,
    lines: u64,
    /// The first line that was changed.
    first: Option<u64>,
}

impl<R: BufRead> Read for Replaced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Replaced<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ready.fill_buf()?.is_empty() {
            self.line.clear();
            if self.of.read_until(b'\n', &mut self.line)? > 0 {
                self.lines += 1;
            }
            let mut out = std::mem::take(&mut self.ready).into_inner();
            out.clear();
            if replace(&self.line, true, &mut out) {
                self.first.get_or_insert(self.lines);
            }
            self.ready = Cursor::new(out);
        }
        self.ready.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.ready.consume(amount);
    }
}

/// The columns of a file, and its first line with `NaN` or an infinity. All lines are read: Arrow would cut a fraction
/// off if it were in a column of which only the earlier lines are integers.
pub(crate) async fn infer(store: &Arc<dyn ObjectStore>, object: &ObjectMeta) -> Result<(Schema, Option<u64>)> {
    let got = store.get(&object.location).await?;
    let of: Box<dyn BufRead + Send> = match got.payload {
        GetResultPayload::File(file, _) => Box::new(BufReader::new(file)),
        GetResultPayload::Stream(_) => Box::new(Cursor::new(got.bytes().await?)),
    };
    let mut replaced = Replaced { of, line: Vec::new(), ready: Cursor::default(), lines: 0, first: None };
    let schema = infer_json_schema_from_iterator(ValueIter::new(&mut replaced, None))?;
    Ok((schema, replaced.first))
}

/// Reads JSON lines by [`Lenient`].
#[derive(Debug)]
pub(crate) struct LenientJson;

/// The name of the rule [`LenientJson`].
const NAME: &str = "lenient_json";

/// Whether the queries of a session read `NaN` in JSON lines: a part of a plan with [`Lenient`] cannot be sent.
pub(crate) fn is_lenient(state: &SessionState) -> bool {
    state.physical_optimizers().iter().any(|rule| rule.name() == NAME)
}

impl PhysicalOptimizerRule for LenientJson {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            let scan = node.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
            let Some(scan) = scan.and_then(|source| source.downcast_ref::<FileScanConfig>()) else {
                return Ok(Transformed::no(node));
            };
            let Some(json) = scan.file_source().downcast_ref::<JsonSource>() else { return Ok(Transformed::no(node)) };
            let source = Arc::new(Lenient { original: Arc::new(json.clone()), batch_size: None });
            let scan = FileScanConfigBuilder::from(scan.clone()).with_source(source).build();
            Ok(Transformed::yes(DataSourceExec::from_data_source(scan) as _))
        })?;
        Ok(plan.data)
    }

    fn name(&self) -> &str {
        NAME
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// DataFusion's source of JSON lines, with a reader of ours.
struct Lenient {
    original: Arc<dyn FileSource>,
    batch_size: Option<usize>,
}

impl FileSource for Lenient {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        scan: &FileScanConfig,
        _: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let columns = self.table_schema().file_schema();
        let projection = match self.projection() {
            Some(projection) => SplitProjection::new(columns, projection),
            None => SplitProjection::unprojected(self.table_schema()),
        };
        let schema = Arc::new(columns.project(&projection.file_indices)?);
        let batch_size = self.batch_size.or(scan.batch_size).unwrap_or(8192);
        ProjectionOpener::try_new(projection, Arc::new(Opener { store, schema, batch_size }), columns)
    }

    fn table_schema(&self) -> &TableSchema {
        self.original.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { original: Arc::clone(&self.original), batch_size: Some(batch_size) })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.original.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.original.metrics()
    }

    fn file_type(&self) -> &str {
        self.original.file_type()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.original.apply_expressions(f)
    }
}

struct Opener {
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    batch_size: usize,
}

impl FileOpener for Opener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let decoder = ReaderBuilder::new(Arc::clone(&self.schema)).with_batch_size(self.batch_size).build_decoder()?;
        let store = Arc::clone(&self.store);
        Ok(Box::pin(async move {
            let (begin, end) = file.range();
            // A line belongs to the range in which it begins, so the byte before the range must be known.
            let from = begin.saturating_sub(1);
            let range = (from < file.object_meta.size).then_some(GetRange::Offset(from));
            let got = store.get_opts(&file.object_meta.location, GetOptions { range, ..GetOptions::default() }).await?;
            let bytes: Bytes = match got.payload {
                GetResultPayload::File(file, _) => Box::pin(tokio_stream::iter(blocks(file, from)?)),
                GetResultPayload::Stream(stream) => {
                    Box::pin(stream.map(|bytes| bytes.map(|bytes| bytes.to_vec()).map_err(DataFusionError::from)))
                }
            };
            let lines = Lines { before: begin > 0, left: end - from, line: Vec::new(), out: Vec::new() };
            Ok(Box::pin(Batches { bytes: Some(bytes), lines, taken: 0, decoder }) as _)
        }))
    }
}

type Bytes = Pin<Box<dyn Stream<Item = Result<Vec<u8>>> + Send>>;

/// The bytes of a file from a position on.
fn blocks(mut file: File, from: u64) -> Result<impl Iterator<Item = Result<Vec<u8>>>> {
    file.seek(SeekFrom::Start(from))?;
    Ok(std::iter::from_fn(move || {
        let mut block = Vec::new();
        match file.by_ref().take(AT_ONCE).read_to_end(&mut block) {
            Ok(0) => None,
            Ok(_) => Some(Ok(block)),
            Err(error) => Some(Err(error.into())),
        }
    }))
}

/// The lines that begin in a range of a file, replaced.
struct Lines {
    /// Whether the line that began before the range has not ended yet.
    before: bool,
    /// The number of bytes to the end of the range.
    left: u64,
    /// The beginning of a line.
    line: Vec<u8>,
    /// Whole lines, replaced.
    out: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes of the file; returns whether there are lines after them.
    fn take(&mut self, mut bytes: &[u8]) -> bool {
        self.out.clear();
        if self.before {
            let Some(ended) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                return self.left > 0;
            };
            bytes = &bytes[ended + 1..];
            self.left = self.left.saturating_sub(ended as u64 + 1);
            self.before = false;
            if self.left == 0 {
                return false;
            }
        }
        // The last line is the one with the last byte of the range.
        let last = usize::try_from(self.left.saturating_sub(1)).unwrap_or(usize::MAX);
        let end = bytes.get(last..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
        let more = end.is_none();
        let bytes = end.map_or(bytes, |end| &bytes[..=last + end]);
        self.left = self.left.saturating_sub(bytes.len() as u64).max(1);
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(ended) => {
                self.line.extend_from_slice(&bytes[..=ended]);
                replace(&self.line, false, &mut self.out);
                self.line.clear();
                self.line.extend_from_slice(&bytes[ended + 1..]);
            }
            None => self.line.extend_from_slice(bytes),
        }
        more
    }

    /// The file ends.
    fn end(&mut self) {
        self.out.clear();
        replace(&self.line, false, &mut self.out);
        self.line.clear();
    }
}

/// The rows of the lines.
struct Batches {
    /// `None` after the last line.
    bytes: Option<Bytes>,
    lines: Lines,
    /// The number of bytes of `lines.out` that were decoded.
    taken: usize,
    decoder: Decoder,
}

impl Stream for Batches {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(rest) = this.lines.out.get(this.taken..).filter(|rest| !rest.is_empty()) {
                let taken = this.decoder.decode(rest)?;
                this.taken += taken;
                if taken < rest.len() {
                    // A batch is full.
                    return Poll::Ready(this.decoder.flush().map_err(DataFusionError::from).transpose());
                }
            }
            let Some(bytes) = &mut this.bytes else {
                return Poll::Ready(this.decoder.flush().map_err(DataFusionError::from).transpose());
            };
            let more = match ready!(bytes.as_mut().poll_next(context)) {
                Some(bytes) => this.lines.take(&bytes?),
                None => {
                    this.lines.end();
                    false
                }
            };
            this.taken = 0;
            if !more {
                this.bytes = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(lines: &str, by_float: bool) -> String {
        let mut out = Vec::new();
        replace(lines.as_bytes(), by_float, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_numbers_are_replaced() {
        for (lines, expected) in [
            (r#"{"a":NaN,"b":[Infinity, -Infinity ]}"#, r#"{"a":"NaN","b":["inf", "-inf" ]}"#),
            (r#"{"NaN":"NaN","b":"x\"NaN","c":NaN}"#, r#"{"NaN":"NaN","b":"x\"NaN","c":"NaN"}"#),
            (r#"{"a":"Infinity\\","b":-Infinity}"#, r#"{"a":"Infinity\\","b":"-inf"}"#),
            ("{\"a\":\"open\n{\"a\":NaN}\n", "{\"a\":\"open\n{\"a\":\"NaN\"}\n"),
            (r#"{"a":1.5}"#, r#"{"a":1.5}"#),
        ] {
            assert_eq!(replaced(lines, false), expected);
        }
        assert_eq!(replaced("[NaN,-Infinity,\"NaN\"]", true), "[0.5,0.5,\"NaN\"]");
    }

    /// Ranges that cover a file, however it is divided and read, have each of its lines once.
    #[test]
    fn ranges_share_the_lines() {
        let text = b"a\nbb\n\nccc NaN\n-Infinity\nlast";
        let mut expected = Vec::new();
        replace(text, false, &mut expected);
        for parts in 1..=text.len() {
            for at_once in 1..=text.len() {
                let mut all = Vec::new();
                for part in 0..parts {
                    let [begin, end] = [part, part + 1].map(|at| at * text.len() / parts);
                    let from = begin.saturating_sub(1);
                    let mut lines =
                        Lines { before: begin > 0, left: (end - from) as u64, line: Vec::new(), out: Vec::new() };
                    let mut more = true;
                    for bytes in text[from..].chunks(at_once) {
                        more = lines.take(bytes);
                        all.extend_from_slice(&lines.out);
                        if !more {
                            break;
                        }
                    }
                    if more {
                        lines.end();
                        all.extend_from_slice(&lines.out);
                    }
                }
                assert_eq!(String::from_utf8_lossy(&all), String::from_utf8_lossy(&expected), "{parts} {at_once}");
            }
        }
    }
}
