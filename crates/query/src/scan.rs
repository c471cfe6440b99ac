//! Distributes files over the partitions that read them.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileGroup, FileGroupPartitioner, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// The number of pieces per partition.
const PIECES: usize = 8;
/// The minimum size of a piece in bytes: row groups are read completely, and a piece includes those that begin in it.
const SMALLEST: usize = 256 << 10;

/// Files are distributed to partitions in small pieces, in turns. DataFusion gives each partition one long range; the
/// rows that a query needs are often close together (a metric, a run), and then one partition would do all the work.
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

#[cfg(test)]
mod tests {
    use datafusion::datasource::listing::PartitionedFile;

    use super::*;

    /// Every byte of every file is read once, and ranges of a file are read by more than one partition.
    #[test]
    fn pieces_are_all_there_is_once() {
        let sizes: [u64; 3] = [9_000_001, 1, 2_500_000];
        let file = |at: usize| PartitionedFile::new(format!("{at}.parquet"), sizes[at]);
        for partitions in [2, 3, 8] {
            let mut groups = vec![FileGroup::default(); partitions];
            (0..3).for_each(|at| groups[at % partitions].push(file(at)));
            let dealt = dealt(&groups).unwrap();
            assert_eq!(dealt.len(), partitions);
            for (at, size) in sizes.iter().enumerate() {
                let name = format!("{at}.parquet");
                let files = dealt.iter().flat_map(FileGroup::files);
                let ours = files.filter(|file| file.object_meta.location.as_ref() == name);
                let mut ranges: Vec<(u64, u64)> = ours.map(PartitionedFile::range).collect();
                ranges.sort_unstable();
                let end = ranges.iter().fold(0, |end, range| {
                    assert_eq!(range.0, end, "{name}: {ranges:?}");
                    range.1
                });
                assert_eq!(end, *size);
            }
            let first = |group: &FileGroup| group.files().iter().any(|file| file.range().0 < 5_000_000);
            assert!(dealt.iter().filter(|group| first(group)).count() > 1);
        }
        // Small files are not divided, nor are those that one partition reads.
        assert!(super::dealt(&[FileGroup::new(vec![file(0)])]).is_none());
        assert!(super::dealt(&[FileGroup::new(vec![file(1)]), FileGroup::default()]).is_none());
    }
}
