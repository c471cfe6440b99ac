//! The statistics in Parquet files are not used for columns of floats.
//!
//! A Parquet file says the least and the greatest value of each column, for the file, its row groups and its pages.
//! For floats these leave NaN out, and zeros have only one sign. DataFusion takes them as true of all values: it
//! replaces a column by its one value if both are equal, skips rows that a condition could select, and sorts by them.
//! A file can also claim that its rows are sorted, and nobody checks this. [`FloatStatistics`] removes all of it from
//! a plan, for every file, whoever wrote it. Columns of other types keep their statistics.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_expr::{ScalarFunctionExpr, conjunction_opt, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::one_nan;

/// Removes what Parquet files say about columns of floats. It is the first rule, before another one can use the
/// statistics, and the last one, after conditions were given to the files' readers.
#[derive(Debug)]
pub(crate) struct FloatStatistics;

impl PhysicalOptimizerRule for FloatStatistics {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            let scan = node.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
            let scan = scan.and_then(|source| source.downcast_ref::<FileScanConfig>());
            Ok(match scan.and_then(without) {
                Some(scan) => Transformed::yes(DataSourceExec::from_data_source(scan) as _),
                None => Transformed::no(node),
            })
        })?;
        Ok(plan.data)
    }

    fn name(&self) -> &str {
        "float_statistics"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan of Parquet files without these statistics; `None` for other files, which have none.
fn without(scan: &FileScanConfig) -> Option<FileScanConfig> {
    let source = scan.file_source().downcast_ref::<ParquetSource>()?;
    let fields = source.table_schema().table_schema().fields();
    let floats: Vec<bool> = fields.iter().map(|field| has_float(field.data_type())).collect();
    let groups = scan.file_groups.iter().map(|group| {
        let known = group.file_statistics(None).cloned();
        let file = |file: PartitionedFile| PartitionedFile {
            statistics: file.statistics.map(|known| Arc::new(forget(Arc::unwrap_or_clone(known), &floats))),
            ordering: None,
            ..file
        };
        let group = FileGroup::new(group.files().iter().cloned().map(file).collect());
        match known {
            Some(known) => group.with_statistics(Arc::new(forget(known, &floats))),
            None => group,
        }
    });
    let mut without = FileScanConfigBuilder::from(scan.clone())
        .with_file_groups(groups.collect())
        .with_statistics(forget(scan.statistics(), &floats))
        .with_output_ordering(Vec::new());
    if let Some(source) = without_conditions(source) {
        without = without.with_source(source);
    }
    Some(without.build())
}

/// The statistics with only the numbers of nulls and bytes for columns of floats.
fn forget(mut statistics: Statistics, floats: &[bool]) -> Statistics {
    for (column, _) in statistics.column_statistics.iter_mut().zip(floats).filter(|(_, float)| **float) {
        *column = ColumnStatistics {
            null_count: column.null_count,
            byte_size: column.byte_size,
            ..ColumnStatistics::new_unknown()
        };
    }
    statistics
}

/// The reader of files without the conditions that name a column of floats, if it has such. A reader has conditions
/// only to skip row groups and pages by statistics and Bloom filters: they are evaluated on the rows anyway, because
/// `pushdown_filters` is off. An argument of [`one_nan`](crate::one_nan) is not compared with statistics, so an order by
/// an integer and then a float can still skip by the integer.
fn without_conditions(source: &ParquetSource) -> Option<Arc<dyn FileSource>> {
    let schema = source.table_schema().table_schema();
    let predicate = source.filter()?;
    let conditions = split_conjunction(&predicate);
    let names_float = |condition: &Arc<dyn PhysicalExpr>| {
        let mut found = false;
        let walked = condition.apply(|part| {
            if part.downcast_ref::<ScalarFunctionExpr>().is_some_and(|of| of.fun().name() == one_nan::NAME) {
                return Ok(TreeNodeRecursion::Jump);
            }
            found |= part.downcast_ref::<Column>().is_some_and(|column| {
                schema.field_with_name(column.name()).map_or(true, |field| has_float(field.data_type()))
            });
            Ok(TreeNodeRecursion::Continue)
        });
        found || walked.is_err()
    };
    let kept: Vec<Arc<dyn PhysicalExpr>> =
        conditions.iter().filter(|condition| !names_float(condition)).map(|kept| Arc::clone(kept)).collect();
    (kept.len() < conditions.len())
        .then(|| Arc::new(source.with_predicate(conjunction_opt(kept).unwrap_or_else(|| lit(true)))) as _)
}

/// Whether values of a type are or contain floats.
fn has_float(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _)
        | DataType::RunEndEncoded(_, field) => has_float(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_float(field.data_type())),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| has_float(field.data_type())),
        DataType::Dictionary(_, values) => has_float(values),
        other => other.is_floating(),
    }
}
