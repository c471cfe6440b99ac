//! Queries over the tables of releases.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;

use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Value, visit_expressions_mut};
use retrace_spec::{KnownRoots, guard};
use tokio::runtime::Runtime;

use crate::explain::{Names, explain};
use crate::named::Literal;
use crate::sources::{self, Sources};
use crate::tables::{self, PublishedRoot, Row};
use crate::{Answer, NamedQuery, QueryError, Stores, functions, manifests};

/// Tables that can be asked.
///
/// A query has one answer, whatever the number of partitions that it runs in ([`crate::determinism`]).
pub struct Session {
    context: SessionContext,
    runtime: Runtime,
    stores: Stores,
    columns: BTreeMap<String, Vec<String>>,
    /// Tables that are empty because nothing that was opened has them.
    absent: BTreeSet<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Session {
    /// The tables at `paths`, as [`Session::open_with`] opens them, from places that ask for no
    /// credentials.
    ///
    /// # Errors
    /// If a table cannot be read, or a directory has none.
    pub fn open(paths: &[PathBuf]) -> Result<Self, QueryError> {
        Self::open_in(paths, std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// [`Session::open`], to answer in so many partitions, each on a thread; otherwise there are as
    /// many as processors.
    ///
    /// # Errors
    /// If a table cannot be read, or a directory has none.
    pub fn open_in(paths: &[PathBuf], partitions: NonZeroUsize) -> Result<Self, QueryError> {
        Self::open_with(paths, Stores::default(), partitions)
    }

    /// The tables at `paths`. Of a release's directory: every `*.parquet` in it and in its
    /// `tables/`, by its name, and where there is a `manifest.yaml`, its `artifacts` and `steps`. A
    /// manifest by itself: the same two. A Parquet, CSV, TSV or JSON lines file, or the `s3://`,
    /// `gs://` or `https://` URL of one: a table named after the file.
    ///
    /// Tables of the same name are one table: it has the columns of all, and null where there was no
    /// such column. Files are read when they are asked, and never held whole.
    ///
    /// # Errors
    /// If a table cannot be read, a directory has none, or two of the same name do not go together.
    pub fn open_with(paths: &[PathBuf], stores: Stores, partitions: NonZeroUsize) -> Result<Self, QueryError> {
        let config = SessionConfig::new().with_target_partitions(partitions.get());
        Self::on(SessionContext::new_with_state(functions::local_state(config)?), paths, stores, partitions)
    }

    /// [`Session::open_with`], in a context whose state is that of [`functions::state`], with so many
    /// threads.
    ///
    /// # Errors
    /// As [`Session::open_with`].
    pub fn on(
        context: SessionContext,
        paths: &[PathBuf],
        stores: Stores,
        threads: NonZeroUsize,
    ) -> Result<Self, QueryError> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(threads.get()).enable_all().build().map_err(QueryError::Runtime)?;
        let sources = Sources::find(paths)?;
        let columns = guard(|| runtime.block_on(sources.register(&context, &stores)))??;
        Ok(Self { context, runtime, stores, columns, absent: BTreeSet::new() })
    }

    /// The tables at `paths`, as [`Session::open`], and every other that there can be, without rows: for
    /// questions that are asked of whatever is there.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open_whole(paths: &[PathBuf]) -> Result<Self, QueryError> {
        let mut session = Self::open(paths)?;
        for (table, rows) in tables::empty()? {
            if !session.columns.contains_key(table) {
                let names = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
                session.columns.insert(table.to_owned(), names);
                session.absent.insert(table.to_owned());
                session.context.register_batch(table, rows)?;
            }
        }
        Ok(session)
    }

    /// Adds the table `known-roots`, with what the document that lies at `source` says.
    ///
    /// # Errors
    /// Never: the columns of a table fit.
    pub fn know(&mut self, known: &KnownRoots, source: &str) -> Result<(), QueryError> {
        let (table, rows) = (PublishedRoot::TABLE, manifests::known_roots(known, source)?);
        self.absent.remove(table);
        self.context.deregister_table(TableReference::bare(table))?;
        self.context.register_batch(table, rows)?;
        Ok(())
    }

    /// The tables, and the columns of each.
    pub const fn tables(&self) -> &BTreeMap<String, Vec<String>> {
        &self.columns
    }

    /// Whether something that was opened has this table, be it without rows.
    pub fn has(&self, table: &str) -> bool {
        self.columns.contains_key(table) && !self.absent.contains(table)
    }

    /// The names of all functions: of values, of groups, over windows, and those that make tables.
    pub fn functions(&self) -> Vec<String> {
        let state = self.context.state();
        let mut names: Vec<String> = state.scalar_functions().keys().cloned().collect();
        names.extend(state.aggregate_functions().keys().cloned());
        names.extend(state.window_functions().keys().cloned());
        names.extend(state.table_functions().keys().cloned());
        names.sort();
        names.dedup();
        names
    }

    /// The answer to a query, which may only read. A table in it may be the path or URL of a file:
    /// `select * from 'runs/val.csv'`.
    ///
    /// # Errors
    /// If the query is not one, names what is not there, or would change something.
    pub fn run(&self, sql: &str) -> Result<Answer, QueryError> {
        self.answer(sql, &BTreeMap::new())
    }

    /// The answer to a named query, with the values that its parameters are given.
    ///
    /// # Errors
    /// As [`Session::run`], or if a parameter is unknown, missing or of the wrong kind.
    pub fn ask(&self, query: &NamedQuery, given: &BTreeMap<String, String>) -> Result<Answer, QueryError> {
        self.answer(&query.sql, &query.bind(given)?)
    }

    fn answer(&self, sql: &str, values: &BTreeMap<String, Literal>) -> Result<Answer, QueryError> {
        let answer = async {
            let plan = self.plan(sql, values).await?;
            let asked = async {
                let frame = self.context.execute_logical_plan(plan).await?;
                let schema = frame.schema().inner().clone();
                Answer::new(&schema, frame.collect().await?)
            };
            asked.await.map_err(|error| self.explain(sql, &error))
        };
        guard(|| self.runtime.block_on(answer))?
    }

    /// The plan of a query, with its values in their places and its files opened.
    async fn plan(&self, sql: &str, values: &BTreeMap<String, Literal>) -> Result<LogicalPlan, QueryError> {
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let explained = |error| self.explain(sql, &error);
        let state = self.context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let mut statement = state.sql_to_statement(sql, &dialect).map_err(explained)?;
        bind(&mut statement, values).map_err(explained)?;
        // Each file is a table under its own path for as long as the query is planned.
        let mut files = Vec::new();
        for reference in state.resolve_table_references(&statement).map_err(explained)? {
            if let TableReference::Bare { table } = &reference
                && !self.columns.contains_key(table.as_ref())
                && sources::is_file(table)
            {
                let file = sources::open_file(&self.context, &self.stores, table).await?;
                self.context.register_table(reference.clone(), file)?;
                files.push(reference);
            }
        }
        let plan = state.statement_to_plan(statement).await;
        for file in files {
            self.context.deregister_table(file)?;
        }
        let plan = plan.map_err(explained)?;
        reading.verify_plan(&plan).map_err(explained)?;
        Ok(plan)
    }

    fn explain(&self, sql: &str, error: &DataFusionError) -> QueryError {
        let names = Names { tables: self.columns.keys().cloned().collect(), functions: self.functions() };
        explain(sql, error, &names)
    }
}

/// Puts `values` in the places of a statement that are `$name`.
fn bind(statement: &mut Statement, values: &BTreeMap<String, Literal>) -> Result<(), DataFusionError> {
    let inner = match statement {
        Statement::Statement(inner) => inner.as_mut(),
        Statement::Explain(explain) => return bind(&mut explain.statement, values),
        // Whatever else there is would change something, and is refused.
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
