//! How files are shared among the partitions that read them.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileGroup, FileGroupPartitioner, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// How many pieces a partition reads.
const PIECES: usize = 8;
/// No piece is smaller than this, in bytes: row groups are read whole, and a piece has those that
/// begin in it.
const SMALLEST: usize = 256 << 10;

/// Files are dealt out to partitions in small pieces, one after another. DataFusion gives each
/// partition one long stretch; the rows that a query asks for often stand close together (a metric, a
/// run), and then one partition would do all the work.
#[derive(Debug)]
pub(crate) struct Dealt;

impl PhysicalOptimizerRule for Dealt {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let dealt = plan.transform_up(|node| {
            let scan = node.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
            let Some(scan) = scan.and_then(|source| source.downcast_ref::<FileScanConfig>()) else {
                return Ok(Transformed::no(node));
            };
            let free = scan.output_ordering.is_empty() && scan.output_partitioning.is_none() && !scan.preserve_order;
            let Some(groups) = dealt(&scan.file_groups).filter(|_| free) else { return Ok(Transformed::no(node)) };
            let scan = FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build();
            Ok(Transformed::yes(DataSourceExec::from_data_source(scan) as _))
        })?;
        Ok(dealt.data)
    }

    fn name(&self) -> &str {
        "dealt"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn dealt(groups: &[FileGroup]) -> Option<Vec<FileGroup>> {
    let partitions = groups.len();
    let bytes: u64 = groups.iter().flat_map(FileGroup::files).map(|file| file.effective_size()).sum();
    let pieces = usize::try_from(bytes).unwrap_or(usize::MAX) / SMALLEST;
    let pieces = (pieces / partitions.max(1)).min(PIECES) * partitions;
    if partitions < 2 || pieces <= partitions {
        return None;
    }
    let split = FileGroupPartitioner::new().with_target_partitions(pieces).with_repartition_file_min_size(0);
    let mut dealt = vec![FileGroup::default(); partitions];
    for (at, piece) in split.repartition_file_groups(groups)?.into_iter().enumerate() {
        for file in piece.into_inner() {
            dealt.get_mut(at % partitions)?.push(file);
        }
    }
    Some(dealt)
}
