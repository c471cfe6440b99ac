//! The inputs of a query: releases, manifests, and tables in files and at URLs.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::prelude::SessionContext;
use object_store::ObjectStoreExt;
use retrace_files::{EntryKind, FileError};
use retrace_spec::RelPath;

use crate::held::Holder;
use crate::releases::{Release, Sealed, relative};
use crate::stores::told;
use crate::{QueryError, Stores, json_lines, manifests};

/// The number of rows of a CSV or TSV file from which the types of its columns are inferred. A later row that does not
/// fit is an error.
const LOOKED_AT: usize = 100_000;

/// The format of a table's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Parquet,
    Csv,
    Tsv,
    JsonLines,
}

impl Form {
    /// The format that a name states.
    fn of(name: &str) -> Option<Self> {
        // The part after `?` in a URL is not a part of the name.
        let name = if Stores::knows(name) { name.split(['?', '#']).next().unwrap_or(name) } else { name };
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    fn format(self) -> Arc<dyn FileFormat> {
        let text = CsvFormat::default()
            .with_has_header(true)
            .with_newlines_in_values(true)
            .with_schema_infer_max_rec(LOOKED_AT);
        match self {
            Self::Parquet => Arc::new(ParquetFormat::default()),
            Self::Csv => Arc::new(text),
            Self::Tsv => Arc::new(text.with_delimiter(b'\t')),
            Self::JsonLines => Arc::new(JsonFormat::default()),
        }
    }

    /// What separates the values of a text file with a header.
    const fn separator(self) -> Option<char> {
        match self {
            Self::Csv => Some(','),
            Self::Tsv => Some('\t'),
            Self::Parquet | Self::JsonLines => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::JsonLines => "JSON lines",
        }
    }
}

/// A table, before it is opened.
enum TableSource {
    /// Rows of manifests.
    Rows(Vec<RecordBatch>),
    /// Files of the same format, as the user named them.
    Files(Form, Vec<String>),
}

/// The tables of all inputs, each by its name.
#[derive(Default)]
pub(crate) struct Sources {
    tables: BTreeMap<String, TableSource>,
    checked: bool,
    /// The directories of releases among the inputs.
    pub(crate) releases: Vec<Release>,
}

/// A table that is registered in a session.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    /// The files that contain its rows, as the user named them; none, if the rows are those of a manifest.
    pub(crate) files: Vec<String>,
}

impl Sources {
    /// The inputs at `paths`: directories of releases, manifests, and tables in files or at URLs. Tables that their
    /// manifests seal must exist, if they are to be `checked`.
    pub(crate) fn find(paths: &[PathBuf], checked: bool) -> Result<Self, QueryError> {
        let mut sources = Self { checked, ..Self::default() };
        for path in paths {
            match path.to_str() {
                Some(url) if Stores::knows(url) => {
                    Stores::check(url)?;
                    let form = Form::of(url).ok_or_else(|| unknown_form(url))?;
                    sources.add_file(url.to_owned(), form)?;
                }
                _ if fs::metadata(path).map_err(FileError::io(path, "open"))?.is_dir() => sources.add_release(path)?,
                _ => sources.add_path(path)?,
            }
        }
        Ok(sources)
    }

    fn add_release(&mut self, directory: &Path) -> Result<(), QueryError> {
        let release = Release::open(directory)?;
        let files = parquet_files(&release)?;
        if files.is_empty() && release.manifest().is_none() {
            return Err(QueryError::NoTables { path: directory.to_owned() });
        }
        for file in &files {
            self.add_file(text(&file.under(directory))?, Form::Parquet)?;
        }
        if let Some(sealed) = release.manifest() {
            if let Some(gone) = sealed.tables().find(|path| self.checked && !files.contains(path)) {
                return Err(QueryError::MissingTable { path: gone.under(directory), manifest: sealed.path.clone() });
            }
            self.add_manifest(sealed)?;
        }
        self.releases.push(release);
        Ok(())
    }

    fn add_path(&mut self, path: &Path) -> Result<(), QueryError> {
        let name = text(path)?;
        match (Form::of(&name), path.extension().and_then(|extension| extension.to_str())) {
            (Some(form), _) => self.add_file(name, form),
            (None, Some("yaml" | "yml" | "json")) => {
                let release = Release::of_manifest(path)?;
                if let Some(sealed) = release.manifest() {
                    self.add_manifest(sealed)?;
                }
                self.releases.push(release);
                Ok(())
            }
            (None, _) => Err(unknown_form(&name)),
        }
    }

    fn add_manifest(&mut self, sealed: &Sealed) -> Result<(), QueryError> {
        let (manifest, path) = (&sealed.manifest, sealed.path.display().to_string());
        let graph = manifests::graph(sealed)?;
        let root = manifests::root(manifest, &path)?;
        for (table, rows) in [
            ("artifacts", manifests::artifacts(manifest)?),
            ("steps", manifests::steps(manifest)?),
            ("graph", graph),
            ("manifests", root),
        ] {
            match self.tables.entry(table.to_owned()).or_insert_with(|| TableSource::Rows(Vec::new())) {
                TableSource::Rows(batches) => batches.push(rows),
                TableSource::Files(_, files) => return Err(clash(table, files, &path)),
            }
        }
        Ok(())
    }

    fn add_file(&mut self, file: String, form: Form) -> Result<(), QueryError> {
        let table = table_name(&file);
        match self.tables.entry(table) {
            Entry::Vacant(entry) => {
                entry.insert(TableSource::Files(form, vec![file]));
            }
            Entry::Occupied(mut entry) => {
                let name = entry.key().clone();
                match entry.get_mut() {
                    TableSource::Files(other, files) if *other == form => files.push(file),
                    TableSource::Files(_, files) => return Err(clash(&name, files, &file)),
                    TableSource::Rows(_) => return Err(clash(&name, &["a manifest".to_owned()], &file)),
                }
            }
        }
        Ok(())
    }

    /// Registers them in `context`.
    pub(crate) async fn register(
        self,
        context: &SessionContext,
        stores: &Stores,
        holder: &Holder,
        texts: &[String],
    ) -> Result<BTreeMap<String, Table>, QueryError> {
        let mut tables = BTreeMap::new();
        for (name, found) in self.tables {
            let (table, files) = match found {
                TableSource::Rows(batches) => (rows(batches)?, Vec::new()),
                TableSource::Files(form, files) => {
                    (open_files(context, stores, holder, form, &files, texts).await?, files)
                }
            };
            let columns = table.schema().fields().iter().map(|field| field.name().clone()).collect();
            tables.insert(name.clone(), Table { columns, files });
            context.register_table(TableReference::bare(name), table)?;
        }
        Ok(tables)
    }
}

/// Whether a table name in SQL is the name of a file or URL.
pub(crate) fn is_file(name: &str) -> bool {
    Stores::knows(name) || name.contains('/') || Form::of(name).is_some()
}

/// The table in a file or at a URL.
pub(crate) async fn open_file(
    context: &SessionContext,
    stores: &Stores,
    holder: &Holder,
    name: &str,
    texts: &[String],
) -> Result<Arc<dyn TableProvider>, QueryError> {
    if Stores::knows(name) {
        Stores::check(name)?;
    }
    let form = Form::of(name).ok_or_else(|| unknown_form(name))?;
    open_files(context, stores, holder, form, &[name.to_owned()], texts).await
}

fn rows(batches: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>, QueryError> {
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}

/// One table from several files: it has the columns of all, and null where a file lacks a column. A known table also has
/// the columns that its files lack because no row has a value there. It is read when it is queried, and never held in
/// memory completely. `texts` are columns of CSV and TSV that are text.
async fn open_files(
    context: &SessionContext,
    stores: &Stores,
    holder: &Holder,
    form: Form,
    files: &[String],
    texts: &[String],
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let state = context.state();
    let format = form.format();
    let mut urls = Vec::new();
    let mut merged = Merged::default();
    let mut later: Vec<(&String, SchemaRef)> = Vec::new();
    for file in files {
        let refuse = |what: String| QueryError::Table { place: file.clone(), form: form.name(), what };
        let url = locate(file, holder)?;
        if Stores::knows(file) {
            context.runtime_env().register_object_store(url.object_store().as_ref(), stores.connect(&url)?);
        }
        let store = context.runtime_env().object_store(&url)?;
        let unreachable = |e: object_store::Error| QueryError::Unreachable { url: file.clone(), what: told(&e) };
        let object = store.head(url.prefix()).await.map_err(unreachable)?;
        if object.size == 0 {
            return Err(refuse("it is empty".to_owned()));
        }
        if form == Form::Parquet {
            let end = store.get_range(url.prefix(), object.size.saturating_sub(8)..object.size).await;
            footer(object.size, &end.map_err(unreachable)?).map_err(refuse)?;
        }
        if let Some(separator) = form.separator() {
            let beginning = store.get_range(url.prefix(), 0..object.size.min(HEADER)).await.map_err(unreachable)?;
            if let Some(twice) = twice(&String::from_utf8_lossy(&beginning), separator) {
                return Err(refuse(format!("it has the column {twice:?} twice")));
            }
        }
        let mut schema = match form {
            Form::JsonLines => {
                let inferred = json_lines::infer(&store, &object).await;
                let (schema, odd) = inferred.map_err(|e| refuse(e.strip_backtrace()))?;
                if let Some(line) = odd.filter(|_| !json_lines::is_lenient(&state)) {
                    return Err(refuse(format!(
                        "line {line} has NaN or Infinity, which is not JSON, and which only a query without a cluster reads"
                    )));
                }
                Arc::new(schema)
            }
            _ => format.infer_schema(&state, &store, &[object]).await.map_err(|e| refuse(e.strip_backtrace()))?,
        };
        if form.separator().is_some() {
            schema = with_texts(&schema, texts);
        }
        if schema.fields().is_empty() {
            return Err(refuse("it has no columns".to_owned()));
        }
        merged.add(file, &schema)?;
        if form == Form::Parquet {
            let has: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let left_out = retrace_tables::left_out(&table_name(file), &has)?;
            later.extend(left_out.into_iter().map(|field| (file, Arc::new(Schema::new(vec![field])))));
        }
        urls.push(url);
    }
    // At the end, as in a file that has them.
    later.into_iter().try_for_each(|(file, column)| merged.add(file, &column))?;
    let options = ListingOptions::new(format).with_file_extension("");
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    Ok(Arc::new(ListingTable::try_new(config.with_schema(merged.schema()))?))
}

/// The most bytes of a file in which the names of its columns are looked for.
const HEADER: u64 = 1 << 16;

/// A column that the first line of a text file names twice.
fn twice(text: &str, separator: char) -> Option<String> {
    let (mut names, mut name, mut quoted) = (BTreeSet::new(), String::new(), false);
    for c in text.trim_start_matches('\u{feff}').chars() {
        match c {
            '"' => quoted = !quoted,
            '\r' if !quoted => {}
            '\n' if !quoted => break,
            c if c == separator && !quoted => {
                let done = std::mem::take(&mut name);
                if !names.insert(done.clone()) {
                    return Some(done);
                }
            }
            c => name.push(c),
        }
    }
    names.contains(&name).then_some(name)
}

/// The schema with the columns named in `texts` as text.
fn with_texts(schema: &SchemaRef, texts: &[String]) -> SchemaRef {
    let field = |field: &Arc<Field>| match texts.contains(field.name()) {
        true => field.as_ref().clone().with_data_type(DataType::Utf8),
        false => field.as_ref().clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Fields>()))
}

/// Whether the end of a Parquet file is possible: the footer's length, and `PAR1`. Parquet's own reader subtracts that
/// length without a check.
fn footer(size: u64, end: &[u8]) -> Result<(), String> {
    let Some(([a, b, c, d], b"PAR1")) = end.split_first_chunk::<4>() else {
        return Err("it does not end with PAR1".to_owned());
    };
    let length = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    match length.checked_add(12) {
        Some(least) if least <= size => Ok(()),
        _ => Err(format!("its footer gives its length as {length} bytes, in a file of {size} bytes")),
    }
}

/// The columns of several files, in the order of their first occurrence.
#[derive(Default)]
struct Merged {
    columns: Vec<(Field, String)>,
}

impl Merged {
    fn add(&mut self, file: &str, schema: &SchemaRef) -> Result<(), QueryError> {
        for field in schema.fields() {
            let field = field.as_ref().clone().with_nullable(true).with_metadata(Default::default());
            match self.columns.iter_mut().find(|(other, _)| other.name() == field.name()) {
                None => self.columns.push((field, file.to_owned())),
                Some((known, from)) => {
                    let types = [known.data_type().clone(), field.data_type().clone()];
                    *known = known.clone().with_data_type(union(&types).ok_or_else(|| QueryError::Columns {
                        column: field.name().clone(),
                        files: [from.clone(), file.to_owned()],
                        types: types.map(|of| of.to_string()),
                    })?);
                }
            }
        }
        Ok(())
    }

    fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.into_iter().map(|(field, _)| field).collect::<Fields>()))
    }
}

/// A type for the values of both. An integer and a fraction give a fraction; a column that is always null takes any
/// type; text and numbers have no common type.
fn union(types: &[DataType; 2]) -> Option<DataType> {
    let [one, other] = types;
    match (one, other) {
        (DataType::Null, any) | (any, DataType::Null) => Some(any.clone()),
        _ if one == other => Some(one.clone()),
        _ if one.is_numeric() != other.is_numeric() => None,
        _ => type_union_resolution(types),
    }
}

/// The URL of a file, or the URL itself. A path is used literally: no character in it is a pattern.
fn locate(name: &str, holder: &Holder) -> Result<ListingTableUrl, QueryError> {
    let refuse = |e: datafusion::error::DataFusionError| QueryError::Unreachable {
        url: name.to_owned(),
        what: e.strip_backtrace(),
    };
    if Stores::knows(name) {
        return ListingTableUrl::parse(name).map_err(refuse);
    }
    let path = Path::new(name);
    holder.open(path)?;
    let whole = std::path::absolute(path).map_err(FileError::io(path, "open"))?;
    let mut url = "file://".to_owned();
    for byte in text(&whole)?.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    ListingTableUrl::parse(&url).map_err(refuse)
}

/// The name of the table in a file: the file's own without its extension, in lower case, with `_` for characters that
/// a plain name in SQL cannot have.
fn table_name(file: &str) -> String {
    let name = file.split(['?', '#']).next().filter(|_| Stores::knows(file)).unwrap_or(file);
    let name = name.rsplit('/').next().unwrap_or(name);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = stem.to_lowercase().chars().map(plain).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) { format!("_{name}") } else { name }
}

/// The Parquet files of a release: those in its directory and in `tables/`. A link could lead out of the release, so
/// it is refused, as is a pipe, which would never end.
fn parquet_files(release: &Release) -> Result<Vec<RelPath>, QueryError> {
    let root = release.directory();
    let tables = relative("tables")?;
    let inner = match root.list()?.iter().find(|(name, _)| name == tables.as_str()) {
        Some((_, EntryKind::Directory)) => root.directory(&tables)?.list()?,
        Some((_, EntryKind::Link)) => return Err(FileError::Link { path: tables.under(root.path()) }.into()),
        // A file with such a name is not one of ours.
        _ => Vec::new(),
    };
    let mut files = Vec::new();
    for (prefix, entries) in [("", root.list()?), ("tables/", inner)] {
        for (name, _) in entries.into_iter().filter(|(name, _)| !name.starts_with('.') && name.ends_with(".parquet")) {
            let path = relative(&format!("{prefix}{name}"))?;
            root.file(&path)?;
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn text(path: &Path) -> Result<String, QueryError> {
    let what = "its name is not UTF-8".to_owned();
    Ok(path.to_str().ok_or_else(|| FileError::Name { path: path.to_owned(), what })?.to_owned())
}

fn unknown_form(name: &str) -> QueryError {
    QueryError::Form { name: name.to_owned() }
}

fn clash(table: &str, files: &[String], other: &str) -> QueryError {
    let one = files.first().cloned().unwrap_or_default();
    QueryError::Clash { table: table.to_owned(), files: [one, other.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_after_their_files() {
        for (file, name) in [
            ("runs/val.csv", "val"),
            ("/tmp/Train Full.v2.parquet", "train_full_v2"),
            ("2024-runs.jsonl", "_2024_runs"),
            ("https://example.org/a/x.parquet?token=a/b.c", "x"),
            ("事实.csv", "事实"),
            ("'; drop table x.csv", "___drop_table_x"),
            (".csv", "_"),
        ] {
            assert_eq!(table_name(file), name);
        }
    }

    #[test]
    fn a_header_that_names_a_column_twice_is_found() {
        for (text, expected) in [
            ("a,b\n1,1\n", None),
            ("a,b,a\n", Some("a")),
            ("\u{feff}a,\"a\"\r\n1,2\r\n", Some("a")),
            ("\"a,b\",a,b\n", None),
            ("a,b,b", Some("b")),
        ] {
            assert_eq!(twice(text, ',').as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn columns_of_several_files_take_the_wider_type() {
        let small = DataType::Int64;
        assert_eq!(union(&[small.clone(), DataType::Float64]), Some(DataType::Float64));
        assert_eq!(union(&[DataType::Null, DataType::Utf8]), Some(DataType::Utf8));
        assert_eq!(union(&[small, DataType::Utf8]), None);
    }
}
