//! Queries over the tables of releases.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Value, visit_expressions_mut};
use retrace_spec::{KnownRoots, guard};
use retrace_tables::{PublishedRoot, Row};
use tokio::runtime::Runtime;

use crate::explain::{Names, explain, nearest};
use crate::held::{Held, Holder, UnknownPart};
use crate::named::{Literal, Parameter};
use crate::sources::{self, Sources};
use crate::{Answer, Limits, NamedQuery, QueryError, Stores, depth, functions, manifests};

/// How tables are opened and queried.
#[derive(Debug, Clone)]
pub struct Options {
    /// The settings for URLs; without credentials by default.
    pub stores: Stores,
    /// Number of partitions of a query, each on a thread; by default the number of processors.
    pub partitions: NonZeroUsize,
    /// The maximum time and memory of a query.
    pub limits: Limits,
    /// Whether files are checked against the manifests of their releases, or otherwise against their own checksums.
    pub checked: bool,
    /// A directory of notes about the digests of files, so that they are not read completely each time.
    pub notes: Option<PathBuf>,
    /// Whether SQL from files may name files and URLs.
    pub trusting: bool,
    /// The columns of CSV and TSV files that are text, as it stands in the file, also if all values are numbers.
    pub texts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stores: Stores::default(),
            partitions: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            limits: Limits::default(),
            checked: true,
            notes: None,
            trusting: false,
            texts: Vec::new(),
        }
    }
}

/// Tables that can be queried.
///
/// A query has one answer, whatever its number of partitions ([`crate::determinism`]).
pub struct Session {
    opened: Arc<Opened>,
    /// `Some` until it is dropped.
    runtime: Option<Runtime>,
    limits: Limits,
}

/// What queries can read.
struct Opened {
    context: SessionContext,
    stores: Stores,
    holder: Holder,
    columns: BTreeMap<String, Vec<String>>,
    /// The files that tables are read from.
    files: BTreeMap<String, Vec<String>>,
    /// Tables that are empty because no opened input has them.
    absent: BTreeSet<String>,
    trusting: bool,
    /// As [`Options::texts`].
    texts: Vec<String>,
}

/// The origin of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The user's own query, which may read any file.
    Own,
    /// A query from a file: it may read only the opened tables.
    Foreign,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("columns", &self.opened.columns).finish_non_exhaustive()
    }
}

/// An abandoned query may never end, so it is not waited for.
impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The stack size of a thread: plans with many parts are traversed by recursion.
const STACK: usize = 64 << 20;

impl Session {
    /// The tables at `paths`, as [`Session::open_with`] opens them without options.
    ///
    /// # Errors
    /// If a table cannot be read, or a directory has none.
    pub fn open(paths: &[PathBuf]) -> Result<Self, QueryError> {
        Self::open_with(paths, Options::default())
    }

    /// The tables at `paths`. For a release's directory: every `*.parquet` in it and in its `tables/`, by its name,
    /// and if there is a `manifest.yaml` or `manifest.json`, its `artifacts` and `steps`. A separate manifest: the
    /// same two. A Parquet, CSV, TSV or JSON lines file, or the `s3://`, `gs://` or `https://` URL of one: a table
    /// named after the file.
    ///
    /// Tables of the same name are one table: it has the columns of all, and null where a table lacks a column. Files
    /// are read when they are queried, and are never held in memory completely.
    ///
    /// # Errors
    /// If a table cannot be read, a directory has none, or two of the same name cannot be combined.
    pub fn open_with(paths: &[PathBuf], options: Options) -> Result<Self, QueryError> {
        Self::on(Self::context(&options)?, paths, options)
    }

    fn context(options: &Options) -> Result<SessionContext, QueryError> {
        let config = SessionConfig::new().with_target_partitions(options.partitions.get());
        Ok(SessionContext::new_with_state(functions::local_state(config, options.limits.environment()?)?))
    }

    /// [`Session::open_with`], in a context with the state of [`functions::state`], and with the memory limit with
    /// which it was made.
    ///
    /// # Errors
    /// As [`Session::open_with`].
    pub fn on(context: SessionContext, paths: &[PathBuf], options: Options) -> Result<Self, QueryError> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(options.partitions.get()).thread_stack_size(STACK).enable_all().build();
        let runtime = runtime.map_err(QueryError::Runtime)?;
        let mut sources = Sources::find(paths, options.checked)?;
        let holder = Holder::new(std::mem::take(&mut sources.releases), options.checked, options.notes);
        let (stores, limits, trusting, texts) = (options.stores, options.limits, options.trusting, options.texts);
        let opening = async move {
            let tables = sources.register(&context, &stores, &holder, &texts).await?;
            let (mut columns, mut files) = (BTreeMap::new(), BTreeMap::new());
            for (name, table) in tables {
                columns.insert(name.clone(), table.columns);
                files.insert(name, table.files);
            }
            Ok(Opened { context, stores, holder, columns, files, absent: BTreeSet::new(), trusting, texts })
        };
        let opened = guard(|| limits.within(&runtime, opening));
        match opened.map_err(QueryError::from).flatten() {
            Ok(opened) => Ok(Self { opened: Arc::new(opened), runtime: Some(runtime), limits }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The tables at `paths`, as [`Session::open_with`], and every other known table, without rows: for queries that
    /// run on whatever is there.
    ///
    /// # Errors
    /// As [`Session::open_with`].
    pub fn open_whole(paths: &[PathBuf], options: Options) -> Result<Self, QueryError> {
        let mut session = Self::open_with(paths, options)?;
        // No other thread has it yet.
        if let Some(opened) = Arc::get_mut(&mut session.opened) {
            for (table, rows) in retrace_tables::empty()? {
                if !opened.columns.contains_key(table) {
                    let columns = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
                    opened.columns.insert(table.to_owned(), columns);
                    opened.absent.insert(table.to_owned());
                    opened.context.register_batch(table, rows)?;
                }
            }
        }
        Ok(session)
    }

    /// Adds the table `known-roots`, from the document at `source`.
    ///
    /// # Errors
    /// Never: the columns of a table fit.
    pub fn know(&mut self, known: &KnownRoots, source: &str) -> Result<(), QueryError> {
        let (table, rows) = (PublishedRoot::TABLE, manifests::known_roots(known, source)?);
        // No other thread has it yet.
        if let Some(opened) = Arc::get_mut(&mut self.opened) {
            opened.absent.remove(table);
            opened.context.deregister_table(TableReference::bare(table))?;
            opened.context.register_batch(table, rows)?;
        }
        Ok(())
    }

    /// The tables, and the columns of each.
    pub fn tables(&self) -> &BTreeMap<String, Vec<String>> {
        &self.opened.columns
    }

    /// The files that have the rows of a table, as the user named them.
    pub fn files(&self, table: &str) -> &[String] {
        self.opened.files.get(table).map_or(&[], Vec::as_slice)
    }

    /// Whether an opened input has this table, even without rows.
    pub fn has(&self, table: &str) -> bool {
        self.opened.columns.contains_key(table) && !self.opened.absent.contains(table)
    }

    /// The tables that a query names, of those that are opened or that releases can have.
    ///
    /// # Errors
    /// If the query is not valid SQL.
    pub fn named_tables(&self, sql: &str) -> Result<BTreeSet<String>, QueryError> {
        depth::check(sql)?;
        let state = self.opened.context.state();
        let explained = |error| self.opened.explain(sql, &error);
        let statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect).map_err(explained)?;
        let names = state.resolve_table_references(&statement).map_err(explained)?;
        let names = names.into_iter().map(|name| name.table().to_owned());
        Ok(names.filter(|name| self.opened.columns.contains_key(name)).collect())
    }

    /// What the files of queried tables were checked against so far, sorted by name.
    pub fn held(&self) -> Vec<Held> {
        self.opened.holder.told()
    }

    /// Parts of releases that are missing in the `artifacts` and `steps` that were queried so far, because their
    /// content is unknown.
    pub fn unknown(&self) -> Vec<UnknownPart> {
        self.opened.holder.unknown()
    }

    /// The names of all functions: scalar, aggregate, window and table functions.
    pub fn functions(&self) -> Vec<String> {
        self.opened.functions()
    }

    /// The answer to the user's own query, which can only read. A table in it may be the path or URL of a file:
    /// `select * from 'runs/val.csv'`.
    ///
    /// # Errors
    /// If the query is not valid, uses unknown names, would change something, reads a file that fails its check, or
    /// exceeds the limits.
    pub fn run(&self, sql: &str) -> Result<Answer, QueryError> {
        self.answer(sql, BTreeMap::new(), Whose::Own)
    }

    /// The answer to a query from a file, such as a rule, from a release or another source. It reads the opened tables
    /// and, unless the options allow it, no other file and no URL.
    ///
    /// # Errors
    /// As [`Session::run`], or if it names a file or URL.
    pub fn run_foreign(&self, sql: &str) -> Result<Answer, QueryError> {
        self.answer(sql, BTreeMap::new(), Whose::Foreign)
    }

    /// The answer to a named query, with these values of its parameters.
    ///
    /// # Errors
    /// As [`Session::run_foreign`], or if a parameter is unknown, missing or of the wrong type; or if the answer is empty
    /// and a given value is not in the column of its parameter.
    pub fn ask(&self, query: &NamedQuery, given: &BTreeMap<String, String>) -> Result<Answer, QueryError> {
        let answer = self.answer(&query.sql, query.bind(given)?, Whose::Foreign)?;
        if answer.rows() > 0 {
            return Ok(answer);
        }
        for Parameter { name, values, .. } in &query.parameters {
            let (Some((table, column)), Some(value)) = (values, given.get(name)) else { continue };
            let sql = format!("select distinct {column} as value from {table} where {column} is not null");
            let there = self.answer(&sql, BTreeMap::new(), Whose::Foreign)?.texts("value")?;
            if !there.contains(value) {
                let what = format!("{name} is {value:?}, and the table {table} has no such {column}");
                return Err(QueryError::Parameter {
                    query: query.name.clone(),
                    what,
                    help: nearest(column, value, &there),
                });
            }
        }
        Ok(answer)
    }

    fn answer(&self, sql: &str, values: BTreeMap<String, Literal>, whose: Whose) -> Result<Answer, QueryError> {
        let Some(runtime) = &self.runtime else {
            return Err(QueryError::Runtime(std::io::ErrorKind::NotConnected.into()));
        };
        let (opened, sql, limits) = (Arc::clone(&self.opened), sql.to_owned(), self.limits);
        guard(|| limits.within(runtime, async move { opened.answer(&sql, &values, whose, &limits).await }))?
    }
}

impl Opened {
    async fn answer(
        &self,
        sql: &str,
        values: &BTreeMap<String, Literal>,
        whose: Whose,
        limits: &Limits,
    ) -> Result<Answer, QueryError> {
        let (plan, files) = self.plan(sql, values, whose).await.map_err(|error| limits.told(error))?;
        let held =
            files.iter().map(|file| Ok((file, self.holder.hold(file)?))).collect::<Result<Vec<_>, QueryError>>()?;
        let asked = async {
            let frame = self.context.execute_logical_plan(plan).await?;
            let schema = frame.schema().inner().clone();
            Answer::new(&schema, frame.collect().await?)
        };
        let answer = asked.await.map_err(|error| limits.told(self.explain(sql, &error)));
        for (file, stamp) in held {
            if let Some(stamp) = stamp {
                self.holder.unchanged(file, stamp)?;
            }
        }
        answer
    }

    /// The plan of a query, with its parameters replaced and its files opened, and the files that it reads.
    async fn plan(
        &self,
        sql: &str,
        values: &BTreeMap<String, Literal>,
        whose: Whose,
    ) -> Result<(LogicalPlan, BTreeSet<String>), QueryError> {
        depth::check(sql)?;
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let explained = |error| self.explain(sql, &error);
        let state = self.context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let mut statement = state.sql_to_statement(sql, &dialect).map_err(explained)?;
        bind(&mut statement, values).map_err(explained)?;
        // While the query is planned, each file is a table under its own path.
        let mut files = Vec::new();
        for reference in state.resolve_table_references(&statement).map_err(explained)? {
            if let TableReference::Bare { table } = &reference
                && !self.columns.contains_key(table.as_ref())
                && sources::is_file(table)
            {
                if whose == Whose::Foreign && !self.trusting {
                    return Err(QueryError::Reach { place: table.to_string() });
                }
                let file = sources::open_file(&self.context, &self.stores, &self.holder, table, &self.texts).await?;
                self.context.register_table(reference.clone(), file)?;
                files.push(reference);
            }
        }
        let plan = state.statement_to_plan(statement).await;
        for file in &files {
            self.context.deregister_table(file.clone())?;
        }
        let plan = plan.map_err(explained)?;
        reading.verify_plan(&plan).map_err(explained)?;
        let mut scanned = BTreeSet::new();
        scans(&plan, &mut scanned).map_err(explained)?;
        if manifests::OF_ALL_PARTS.iter().any(|table| scanned.contains(*table)) {
            self.holder.ask_manifests();
        }
        let of = |name: String| match (self.columns.contains_key(&name), self.files.get(&name)) {
            (_, Some(files)) => files.clone(),
            (false, None) if sources::is_file(&name) => vec![name],
            _ => Vec::new(),
        };
        Ok((plan, scanned.into_iter().flat_map(of).collect()))
    }

    fn functions(&self) -> Vec<String> {
        let state = self.context.state();
        let mut names: Vec<String> = state.scalar_functions().keys().cloned().collect();
        names.extend(state.aggregate_functions().keys().cloned());
        names.extend(state.window_functions().keys().cloned());
        names.extend(state.table_functions().keys().cloned());
        names.sort();
        names.dedup();
        names
    }

    fn explain(&self, sql: &str, error: &DataFusionError) -> QueryError {
        let names = Names { tables: self.columns.keys().cloned().collect(), functions: self.functions() };
        explain(sql, error, &names)
    }
}

/// The names of the tables that a plan reads, in subqueries and views too.
fn scans(plan: &LogicalPlan, names: &mut BTreeSet<String>) -> Result<(), DataFusionError> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            match scan.source.get_logical_plan() {
                Some(view) => scans(&view, names)?,
                None => {
                    names.insert(scan.table_name.table().to_owned());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Replaces the placeholders `$name` in a statement by `values`.
fn bind(statement: &mut Statement, values: &BTreeMap<String, Literal>) -> Result<(), DataFusionError> {
    let inner = match statement {
        Statement::Statement(inner) => inner.as_mut(),
        Statement::Explain(explain) => return bind(&mut explain.statement, values),
        // Every other statement would change something, and is refused.
        _ => return Ok(()),
    };
    let unbound = visit_expressions_mut(inner, |expression| {
        if let Expr::Value(at) = expression
            && let Value::Placeholder(name) = &at.value
        {
            match values.get(name.trim_start_matches('$')) {
                Some(literal) => at.value = literal.value(),
                None => return ControlFlow::Break(name.clone()),
            }
        }
        ControlFlow::Continue(())
    });
    match unbound {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(name) => Err(DataFusionError::Plan(format!("parameter '{name}' has no value"))),
    }
}
