//! A synthetic corpus.

use std::fmt;

use retrace_corpus::synthetic::{Generated, generate};
use retrace_files::{Progress, Root};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::{GenerateRecipe, RelPath};

use crate::StepError;
use crate::step::{Files, Need, Options, Outputs, Step, counted};

/// What was generated.
#[derive(Debug)]
pub struct Report(Generated);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards = counted(self.0.shards.len(), "shard");
        write!(f, "{} in {shards}", counted(self.0.documents, "document"))
    }
}

/// The file names that [`generate`] uses.
const SHARDS: [&str; 4] = ["raw/en-*.jsonl", "raw/zh-*.jsonl", "raw/select-en-*.jsonl", "raw/select-zh-*.jsonl"];
const BENCHMARKS: [&str; 4] =
    ["tasks/heldout-en.jsonl", "tasks/facts-en.jsonl", "tasks/heldout-zh.jsonl", "tasks/facts-zh.jsonl"];

impl Step for GenerateRecipe {
    type Report = Report;

    fn id(&self) -> String {
        "generate".to_owned()
    }

    fn kind(&self) -> StepKind {
        StepKind::Generate
    }

    fn numerics(&self) -> Option<u32> {
        Some(retrace_numerics::VERSION)
    }

    fn reads(&self, _: &Root) -> Result<Vec<Need>, StepError> {
        Ok(Vec::new())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        let all = SHARDS.iter().chain(&BENCHMARKS);
        all.map(|text| Ok(Files::Matching(text.parse()?))).collect()
    }

    fn inputs(&self, _: &Root) -> Result<Vec<RelPath>, StepError> {
        Ok(Vec::new())
    }

    fn carry_out(&self, root: &Root, _: &Options, progress: &dyn Progress) -> Result<(Report, Outputs), StepError> {
        let made = generate(root, self, progress)?;
        let shards = made.shards.iter().map(|shard| (shard.clone(), ArtifactKind::Shard));
        let benchmarks = made.benchmarks.iter().map(|benchmark| (benchmark.clone(), ArtifactKind::Benchmark));
        let outputs = shards.chain(benchmarks).collect();
        Ok((Report(made), outputs))
    }
}
