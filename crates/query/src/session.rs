//! Queries over the tables of releases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use retrace_files::FileError;
use retrace_spec::{Document, Manifest};
use tokio::runtime::Runtime;

use crate::tables::read_batches;
use crate::{Answer, QueryError};

/// Tables that can be asked.
///
/// A query runs in one partition, in the order of the files and their rows, so that it has one
/// answer: with more, DataFusion adds floats in the order in which its threads finish.
pub struct Session {
    context: SessionContext,
    runtime: Runtime,
    columns: BTreeMap<String, Vec<String>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Session {
    /// The tables of the releases in `directories`: every `*.parquet` in them and in their
    /// `tables/`, by its name; rows of the same table in several releases come one after another.
    /// Where there is a `manifest.yaml`, its `artifacts` and `steps` are tables too.
    ///
    /// # Errors
    /// If a table cannot be read, or a directory has none.
    pub fn open(directories: &[PathBuf]) -> Result<Self, QueryError> {
        let mut tables: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
        for directory in directories {
            let mut any = false;
            for path in parquet_files(directory)? {
                any = true;
                let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                tables.entry(name).or_default().extend(read_batches(&path)?);
            }
            let manifest = directory.join("manifest.yaml");
            if manifest.exists() {
                any = true;
                let text = std::fs::read_to_string(&manifest).map_err(FileError::io(&manifest, "read"))?;
                let manifest = Manifest::parse(&text, &manifest.display().to_string())?;
                tables.entry("artifacts".to_owned()).or_default().push(artifacts(&manifest)?);
                tables.entry("steps".to_owned()).or_default().push(steps(&manifest)?);
            }
            if !any {
                return Err(QueryError::NoTables { path: directory.clone() });
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(QueryError::Runtime)?;
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        let mut columns = BTreeMap::new();
        for (name, batches) in tables {
            let Some(schema) = batches.first().map(RecordBatch::schema) else { continue };
            columns.insert(name.clone(), schema.fields().iter().map(|field| field.name().clone()).collect());
            context.register_table(name.as_str(), Arc::new(MemTable::try_new(schema, vec![batches])?))?;
        }
        Ok(Self { context, runtime, columns })
    }

    /// The tables, and the columns of each.
    pub const fn tables(&self) -> &BTreeMap<String, Vec<String>> {
        &self.columns
    }

    /// The answer to a query, which may only read.
    ///
    /// # Errors
    /// If the query is not one, names what is not there, or would change something.
    pub fn run(&self, sql: &str) -> Result<Answer, QueryError> {
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let answer = self.runtime.block_on(async {
            let frame = self.context.sql_with_options(sql, reading).await?;
            let schema = Arc::new(frame.schema().as_arrow().clone());
            Ok::<_, DataFusionError>(Answer::new(schema, frame.collect().await?))
        });
        answer.map_err(|error| self.explain(&error))
    }

    /// What DataFusion says, with what may help.
    fn explain(&self, error: &DataFusionError) -> QueryError {
        let message = error.strip_backtrace();
        let lower = message.to_lowercase();
        let quoted = message.split('\'').nth(1).unwrap_or_default();
        let help = if lower.contains("table") && lower.contains("not found") {
            let name = quoted.rsplit('.').next().unwrap_or_default();
            nearest("table", name, self.columns.keys())
        } else if lower.contains("no field named") {
            let name = message.split("named ").nth(1).unwrap_or_default();
            let name = name.split(['.', ' ']).next().unwrap_or_default();
            nearest("column", name, self.columns.values().flatten())
        } else {
            String::new()
        };
        QueryError::Sql { message, help }
    }
}

/// Names the one of `there` that is nearest to `name`, and all of them.
fn nearest<'a>(what: &str, name: &str, there: impl Iterator<Item = &'a String>) -> String {
    let mut there: Vec<&String> = there.collect();
    there.sort();
    there.dedup();
    let all = there.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    match there.iter().map(|other| (distance(name, other), other)).min() {
        Some((near, other)) if near <= name.len().div_ceil(2) => {
            format!("the nearest {what} is {other}; there are {all}")
        }
        _ => format!("there are {all}"),
    }
}

/// How many characters have to be changed (Levenshtein, 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let kept = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn parquet_files(directory: &Path) -> Result<Vec<PathBuf>, QueryError> {
    let mut files = Vec::new();
    for place in [directory.to_owned(), directory.join("tables")] {
        if !place.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&place).map_err(FileError::io(&place, "list"))? {
            let path = entry.map_err(FileError::io(&place, "list"))?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if !hidden && path.extension().is_some_and(|extension| extension == "parquet") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn artifacts(manifest: &Manifest) -> Result<RecordBatch, QueryError> {
    let all = &manifest.artifacts;
    let text = |of: &dyn Fn(&retrace_spec::manifest::Artifact) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(all.iter().map(of)))
    };
    let sizes: ArrayRef = Arc::new(UInt64Array::from_iter_values(all.iter().map(|artifact| artifact.size)));
    let roots = all.iter().map(|artifact| artifact.tensors.as_ref().map(|tensors| tensors.root.to_string()));
    let roots: ArrayRef = Arc::new(StringArray::from_iter(roots));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("release", text(&|_| manifest.name.clone()), false),
        ("path", text(&|artifact| artifact.path.to_string()), false),
        ("kind", text(&|artifact| format!("{:?}", artifact.kind).to_lowercase()), false),
        ("size", sizes, false),
        ("digest", text(&|artifact| artifact.digest.to_string()), false),
        ("tensor_root", roots, true),
    ])?)
}

fn steps(manifest: &Manifest) -> Result<RecordBatch, QueryError> {
    let all = &manifest.steps;
    let text = |of: &dyn Fn(&retrace_spec::manifest::GraphStep) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(all.iter().map(of)))
    };
    let number = |of: &dyn Fn(&retrace_spec::manifest::GraphStep) -> Option<u64>| -> ArrayRef {
        Arc::new(UInt64Array::from_iter(all.iter().map(of)))
    };
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("release", text(&|_| Some(manifest.name.clone())), false),
        ("id", text(&|step| Some(step.id.clone())), false),
        ("kind", text(&|step| Some(format!("{:?}", step.kind).to_lowercase())), false),
        ("config", text(&|step| step.config.as_ref().map(ToString::to_string)), true),
        ("numerics", number(&|step| step.numerics.map(u64::from)), true),
        ("inputs", number(&|step| Some(step.inputs.len() as u64)), false),
        ("outputs", number(&|step| Some(step.outputs.len() as u64)), false),
    ])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("metric", "metrics", 1), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), expected);
        }
    }
}
