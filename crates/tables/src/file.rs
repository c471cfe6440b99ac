//! Rows as Parquet.
//!
//! Rows are sorted before they are written, and the file has no time, machine or library version, so the same
//! rows give the same bytes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchReader, StringArray, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use retrace_files::{FileError, RegularFile, write_whole};
use retrace_spec::{Digest, guard};

use crate::checksums::{has_checksum, with_checksums};
use crate::order::{Ordered, texts_once};
use crate::{Batch, Claim, Row, Source, TablesError};

/// Writes `rows`, sorted by their columns from left to right, to the table's file in `directory`, whose
/// lock is held.
pub(crate) fn write<R: Row>(directory: &Path, rows: &[R]) -> Result<Digest, TablesError> {
    write_batches::<R>(&file::<R>(directory), &[Batch::of(rows)?.columns])
}

/// Puts rows into the table's file in `directory`, whose lock is held.
pub(crate) fn merge<R: Row>(
    directory: &Path,
    sources: &BTreeSet<(String, String)>,
    new: Vec<Batch<R>>,
) -> Result<(), TablesError> {
    let mut batches = others::<R>(directory, sources)?;
    if new.iter().all(Batch::is_empty) && !file::<R>(directory).exists() {
        return Ok(());
    }
    batches.extend(new.into_iter().map(|batch| batch.columns));
    write_batches::<R>(&file::<R>(directory), &batches)?;
    Ok(())
}

/// The rows of the table's file in `directory` that belong to none of these releases and sources; none without a file.
pub(crate) fn others<R: Row>(
    directory: &Path,
    sources: &BTreeSet<(String, String)>,
) -> Result<Vec<RecordBatch>, TablesError> {
    let path = file::<R>(directory);
    let schema = schema::<R>()?;
    let mut batches = Vec::new();
    for old in if path.exists() { read_batches(&path)? } else { Vec::new() } {
        let Some(old) = completed::<R>(&old, &schema)? else {
            let what = format!("its columns are not those of the table {}", R::TABLE);
            return Err(FileError::Name { path, what }.into());
        };
        batches.push(without(&old, sources)?);
    }
    Ok(batches)
}

fn schema<R: Row>() -> Result<SchemaRef, TablesError> {
    Ok(Batch::<R>::of(&[])?.into_columns()?.schema())
}

/// The digests in the table `sources` in `directory`, by release and source.
pub(crate) fn digests(directory: &Path) -> Result<BTreeMap<(String, String), String>, TablesError> {
    let path = file::<Source>(directory);
    let mut digests = BTreeMap::new();
    for batch in if path.exists() { read_batches(&path)? } else { Vec::new() } {
        let text = |name| batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let (Some(releases), Some(names), Some(of)) = (text("release"), text("source"), text("digest")) else {
            let what = format!("its columns are not those of the table {}", Source::TABLE);
            return Err(FileError::Name { path, what }.into());
        };
        for ((release, name), digest) in releases.iter().zip(names).zip(of) {
            if let (Some(release), Some(name), Some(digest)) = (release, name, digest) {
                digests.insert((release.to_owned(), name.to_owned()), digest.to_owned());
            }
        }
    }
    Ok(digests)
}

/// The claims of this name in `directory` that belong to none of these releases and sources.
pub(crate) fn claims(
    directory: &Path,
    sources: &BTreeSet<(String, String)>,
    name: &str,
) -> Result<Vec<Claim>, TablesError> {
    let mut claims = Vec::new();
    for batch in others::<Claim>(directory, sources)? {
        let text = |name| batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let Some(names) = text("name") else { continue };
        for at in (0..batch.num_rows()).filter(|at| names.value(*at) == name) {
            let value = |column| text(column).map(|column| column.value(at).to_owned()).unwrap_or_default();
            claims.push(Claim {
                release: value("release"),
                subject: value("subject"),
                name: name.to_owned(),
                value: value("value"),
                number: None,
                source: value("source"),
                place: value("place"),
            });
        }
    }
    Ok(claims)
}

/// A batch of a file with the columns that the file lacks because they have no value; `None` if it is another table.
fn completed<R: Row>(batch: &RecordBatch, schema: &SchemaRef) -> Result<Option<RecordBatch>, TablesError> {
    let mut there = batch.schema_ref().fields().iter().zip(batch.columns()).peekable();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match there.next_if(|(other, _)| *other == field) {
            Some((_, column)) => Arc::clone(column),
            None if R::LATER.contains(&field.name().as_str()) => new_null_array(field.data_type(), batch.num_rows()),
            None => return Ok(None),
        });
    }
    Ok(match there.next() {
        Some(_) => None,
        None => Some(RecordBatch::try_new(Arc::clone(schema), columns)?),
    })
}

/// The indices of the columns that are written: all, without the later ones in which no row has a value.
fn written<R: Row>(schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<usize> {
    let filled = |at: usize| batches.iter().any(|batch| batch.column(at).null_count() < batch.num_rows());
    let stays = |at: &usize| !R::LATER.contains(&schema.field(*at).name().as_str()) || filled(*at);
    (0..schema.fields().len()).filter(stays).collect()
}

fn file<R: Row>(directory: &Path) -> PathBuf {
    directory.join(format!("{}.parquet", R::TABLE))
}

/// The rows that belong to none of these releases and sources.
fn without(batch: &RecordBatch, sources: &BTreeSet<(String, String)>) -> Result<RecordBatch, TablesError> {
    let text = |name| batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
    let (Some(releases), Some(names)) = (text("release"), text("source")) else { return Ok(batch.clone()) };
    let replaced: HashSet<(&str, &str)> = sources.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let stays = |(release, source): (Option<&str>, Option<&str>)| match (release, source) {
        (Some(release), Some(source)) => Some(!replaced.contains(&(release, source))),
        _ => Some(true),
    };
    let stays: BooleanArray = releases.iter().zip(names.iter()).map(stays).collect();
    Ok(filter_record_batch(batch, &stays)?)
}

/// The number of rows that are written at a time. It is a part of the format: another number would divide pages
/// differently.
const AT_ONCE: usize = 1 << 16;

fn write_batches<R: Row>(path: &Path, batches: &[RecordBatch]) -> Result<Digest, TablesError> {
    let schema = schema::<R>()?;
    let columns = written::<R>(&schema, batches);
    let schema = Arc::new(schema.project(&columns)?);
    let batches = batches.iter().map(|batch| texts_once(&batch.project(&columns)?)).collect::<Result<Vec<_>, _>>()?;
    let ordered = Ordered::new(Arc::clone(&schema), &batches)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by("retrace".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties))?;
    for batch in ordered.batches(AT_ONCE) {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(write_whole(path, &with_checksums(bytes)?)?)
}

/// The batches of a Parquet file; the first is empty and has its columns.
fn read_batches(path: &Path) -> Result<Vec<RecordBatch>, TablesError> {
    let refuse =
        |what: String| FileError::Name { path: path.to_owned(), what: format!("it is not a Parquet table: {what}") };
    let mut file = RegularFile::open(path)?.into_file();
    has_checksum(&mut file, path)?;
    guard(|| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| refuse(e.to_string()))?.build()?;
        let mut batches = vec![RecordBatch::new_empty(RecordBatchReader::schema(&reader))];
        for batch in reader {
            batches.push(batch.map_err(|e| refuse(e.to_string()))?);
        }
        Ok(batches)
    })?
}

#[cfg(test)]
mod tests {
    use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
    use retrace_spec::Step;

    use super::*;
    use crate::Metric;

    fn metric(source: &str, step: Option<u64>, value: f64) -> Metric {
        Metric {
            release: "r".to_owned(),
            run: "run".to_owned(),
            step: step.map(Step),
            tokens: None,
            task: source.chars().rev().collect(),
            shots: None,
            metric: "acc".to_owned(),
            value,
            stderr: None,
            source: source.to_owned(),
            place: "line 1".to_owned(),
            is_group: None,
            time: None,
        }
    }

    fn columns(path: &Path) -> Vec<String> {
        let batches = read_batches(path).unwrap();
        batches[0].schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    #[test]
    fn a_later_column_is_in_a_file_only_if_a_row_has_a_value_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.parquet");
        // The columns of version 0.1, as its tables were published.
        let published =
            ["release", "run", "step", "tokens", "task", "shots", "metric", "value", "stderr", "source", "place"];
        let put = |source: &str, rows: &[Metric]| {
            let sources = [("r".to_owned(), source.to_owned())].into();
            merge(directory.path(), &sources, vec![Batch::of(rows).unwrap()]).unwrap();
        };
        let (old, new) = (metric("a", Some(1), 0.5), Metric { time: Some(7.5), ..metric("b", Some(1), 0.5) });
        put("a", std::slice::from_ref(&old));
        assert_eq!(columns(&path), published);
        let before = std::fs::read(&path).unwrap();
        put("b", std::slice::from_ref(&new));
        assert_eq!(columns(&path), [&published[..], &["time"]].concat());
        let both = std::fs::read(&path).unwrap();
        put("a", &[old]);
        assert_eq!(both, std::fs::read(&path).unwrap());
        put("b", &[]);
        assert_eq!(before, std::fs::read(&path).unwrap());
        // Columns in another order, or one more, are another table.
        assert_eq!(crate::left_out("metrics", &published).unwrap().len(), 2);
        assert!(crate::left_out("metrics", &published[1..]).unwrap().is_empty());
        assert!(crate::left_out("metrics", &[&published[..], &["mine"]].concat()).unwrap().is_empty());
        assert!(crate::left_out("mine", &published).unwrap().is_empty());
    }

    /// Arrow's own sort by several columns is the reference.
    #[test]
    fn rows_are_sorted_as_arrow_sorts_them() {
        let values = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, -1.5, 1e-310, f64::NEG_INFINITY];
        let rows: Vec<Metric> = (0..300u64)
            .map(|at| {
                let source = [
                    "",
                    "a",
                    "ab",
                    "\u{0}",
                    "a\u{0}b",
                    "\u{e9}\u{1f600}",
                    "a longer name than one block of thirty-two bytes",
                ];
                let step = (at * 7 % 5 > 0).then_some(at * 7 % 5);
                metric(source[(at * 11 % 7) as usize], step, values[(at * 13 % 8) as usize])
            })
            .collect();
        let batch = Batch::of(&rows).unwrap().into_columns().unwrap();
        let columns = batch.columns().iter().map(|column| SortColumn { values: Arc::clone(column), options: None });
        let order = lexsort_to_indices(&columns.collect::<Vec<_>>(), None).unwrap();
        let bits = |batch: &RecordBatch| format!("{:?}", batch.columns());
        let expected = bits(&take_record_batch(&batch, &order).unwrap());
        let parts = [texts_once(&batch.slice(0, 170)).unwrap(), texts_once(&batch.slice(170, 130)).unwrap()];
        let ordered = Ordered::new(batch.schema(), &parts).unwrap();
        for at_once in [1, 7, 300] {
            let batches: Vec<RecordBatch> = ordered.batches(at_once).map(Result::unwrap).collect();
            assert_eq!(bits(&concat_batches(&batch.schema(), &batches).unwrap()), expected);
        }
    }

    #[test]
    fn rows_of_a_source_make_place_for_new_ones_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.parquet");
        let merge = |sources: &[&str], rows: &[Metric]| {
            let sources = sources.iter().map(|source| ("r".to_owned(), (*source).to_owned())).collect();
            merge(directory.path(), &sources, vec![Batch::of(rows).unwrap()])
        };
        merge(&["a"], &[]).unwrap();
        assert!(!path.exists(), "no file for no rows");
        let (a, b) = (metric("a", Some(1), 0.5), metric("b", None, f64::NAN));
        merge(&["a"], std::slice::from_ref(&a)).unwrap();
        merge(&["b"], &[b.clone(), metric("b", Some(2), 1.0)]).unwrap();
        let both = std::fs::read(&path).unwrap();
        merge(&["b", "a"], &[metric("b", Some(2), 1.0), b, a.clone()]).unwrap();
        assert_eq!(both, std::fs::read(&path).unwrap(), "the same rows are the same bytes, whatever came first");
        merge(&["b"], &[]).unwrap();
        let alone = tempfile::tempdir().unwrap();
        write(alone.path(), std::slice::from_ref(&a)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(alone.path().join("metrics.parquet")).unwrap());
        // A file that is another table, and one that is not a table, are not changed.
        write::<Claim>(directory.path(), &[]).unwrap();
        std::fs::rename(directory.path().join("claims.parquet"), &path).unwrap();
        let there = std::fs::read(&path).unwrap();
        assert!(merge(&["a"], std::slice::from_ref(&a)).unwrap_err().to_string().contains("its columns are not those"));
        assert_eq!(there, std::fs::read(&path).unwrap());
        std::fs::write(&path, &there[..there.len() - 3]).unwrap();
        assert!(merge(&["a"], &[a]).unwrap_err().to_string().contains("not a Parquet table"));
    }
}
