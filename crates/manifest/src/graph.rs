//! Statements of a manifest that contradict each other or are probably mistakes, checked without the files.
//!
//! A list that was made from the published bytes always matches them, so it cannot show that one step's weights are
//! published under another's name. The structure of the manifest can show it.

use std::collections::{BTreeMap, BTreeSet};

use retrace_spec::manifest::ArtifactKind;
use retrace_spec::{CheckpointName, CountedIn, Digest, InSeries, Manifest, RelPath};
use serde::Serialize;

use crate::order::{Order, circle_in_words};

/// A rule for a graph of artifacts and steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphRule {
    /// Weights of two training steps are never the same.
    SameWeightsAtTwoSteps,
    /// A regular series of checkpoints has no gap.
    MissingCheckpoint,
    /// The inputs and outputs of a step are artifacts, with the same bytes.
    UnprovidedFile,
    /// If steps make tokens, checkpoints, logs or tables, every artifact of that kind is made by a step.
    UnmadeArtifact,
    /// No step depends, directly or through others, on its own outputs.
    Cycle,
}

impl GraphRule {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameWeightsAtTwoSteps => "same-weights-at-two-steps",
            Self::MissingCheckpoint => "missing-checkpoint",
            Self::UnprovidedFile => "unprovided-file",
            Self::UnmadeArtifact => "unmade-artifact",
            Self::Cycle => "cycle",
        }
    }
}

/// A violation of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct GraphFinding {
    /// Which rule.
    pub rule: GraphRule,
    /// The artifact, or the directory of a series.
    pub path: String,
    /// The violation, as a sentence.
    pub what: String,
}

/// Every violation of a rule, sorted.
pub fn check_graph(manifest: &Manifest) -> Vec<GraphFinding> {
    let mut found = Vec::new();
    let mut tell = |rule, path: &str, what: String| found.push(GraphFinding { rule, path: path.to_owned(), what });
    same_weights(manifest, &mut tell);
    gaps(manifest, &mut tell);
    unprovided(manifest, &mut tell);
    cycles(manifest, &mut tell);
    found.sort();
    found
}

type Tell<'a> = dyn FnMut(GraphRule, &str, String) + 'a;

fn same_weights(manifest: &Manifest, tell: &mut Tell<'_>) {
    // The files of a distributed checkpoint have tensors only together; those are with its `.metadata`.
    const ENDINGS: [&str; 6] = [".safetensors", ".bin", ".pt", ".pth", ".gguf", "/.metadata"];
    let mut first: BTreeMap<(&str, CountedIn, Digest), (u64, &RelPath)> = BTreeMap::new();
    for artifact in &manifest.artifacts {
        if !ENDINGS.iter().any(|ending| artifact.path.as_str().ends_with(ending)) {
            continue;
        }
        let Some(InSeries { series, counted_in, number }) = CheckpointName::in_path(artifact.path.as_str()) else {
            continue;
        };
        // By its tensors if they are known: a different header makes a different file with the same weights.
        let content = artifact.tensors.as_ref().map_or(artifact.digest, |tensors| tensors.root);
        match first.get(&(series, counted_in, content)) {
            Some((other, path)) if *other != number => {
                let word = counted_in.word();
                let what = format!("{word} {number} has the very weights of {word} {other}: {path}");
                tell(GraphRule::SameWeightsAtTwoSteps, artifact.path.as_str(), what);
            }
            Some(_) => {}
            None => {
                first.insert((series, counted_in, content), (number, &artifact.path));
            }
        }
    }
}

fn gaps(manifest: &Manifest, tell: &mut Tell<'_>) {
    let mut all: BTreeMap<(&str, CountedIn), BTreeSet<u64>> = BTreeMap::new();
    for artifact in manifest.artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Checkpoint) {
        if let Some(InSeries { series, counted_in, number }) = CheckpointName::in_path(artifact.path.as_str()) {
            all.entry((series, counted_in)).or_default().insert(number);
        }
    }
    for ((name, counted_in), numbers) in all {
        let numbers: Vec<u64> = numbers.into_iter().collect();
        let strides: Vec<u64> = numbers.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Regular around the gap: the strides before and after it are the same, and divide it. So a series that
        // doubles, or that changes its stride once, has no gap.
        for (at, around) in strides.windows(3).enumerate() {
            let [before, gap, after] = [around[0], around[1], around[2]];
            if before == after && gap > before && gap.is_multiple_of(before) {
                let from = numbers[at + 1];
                let missing: Vec<String> =
                    (1..gap / before).take(5).map(|times| (from + times * before).to_string()).collect();
                let more = (gap / before - 1).saturating_sub(5);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let what = format!("every {before} {}s, but not {}{more}", counted_in.word(), missing.join(", "));
                tell(GraphRule::MissingCheckpoint, name, what);
            }
        }
    }
}

fn unprovided(manifest: &Manifest, tell: &mut Tell<'_>) {
    let mut made: BTreeSet<&RelPath> = BTreeSet::new();
    for step in &manifest.steps {
        let read = step.inputs.iter().map(|input| (&input.path, input.digest, "reads"));
        let wrote = step.outputs.iter().map(|output| (&output.path, output.digest, "makes"));
        for (path, digest, does) in read.chain(wrote) {
            let what = match manifest.artifact(path) {
                Some(artifact) if artifact.digest == digest => continue,
                Some(artifact) => {
                    format!("step {} {does} it as {digest}, but the artifact has {}", step.id, artifact.digest)
                }
                None => format!("step {} {does} it, but it is not an artifact of the manifest", step.id),
            };
            tell(GraphRule::UnprovidedFile, path.as_str(), what);
        }
        made.extend(step.outputs.iter().map(|output| &output.path));
    }
    // A release may begin with checkpoints from elsewhere; but either all or none of its checkpoints may be without a
    // step that made them.
    let made_kinds: BTreeSet<ArtifactKind> =
        manifest.steps.iter().flat_map(|step| &step.outputs).map(|o| o.kind).collect();
    let from_steps = [ArtifactKind::Tokens, ArtifactKind::Checkpoint, ArtifactKind::Log, ArtifactKind::Table];
    for artifact in &manifest.artifacts {
        let from_steps = from_steps.contains(&artifact.kind) && made_kinds.contains(&artifact.kind);
        if from_steps && !made.contains(&artifact.path) {
            tell(GraphRule::UnmadeArtifact, artifact.path.as_str(), "no step lists it as an output".to_owned());
        }
    }
}

fn cycles(manifest: &Manifest, tell: &mut Tell<'_>) {
    for circle in Order::of(&manifest.steps).circles {
        let what =
            format!("these steps depend on each other in a circle: {}", circle_in_words(&circle, &manifest.steps));
        let first = circle.first().map_or("", |at| manifest.steps[*at].id.as_str());
        tell(GraphRule::Cycle, first, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use retrace_spec::manifest::{Artifact, GraphStep, Output, Reference, StepKind};

    fn artifact(path: &str, kind: ArtifactKind, content: &str) -> Artifact {
        Artifact {
            path: path.parse().unwrap(),
            kind,
            size: content.len() as u64,
            digest: Digest::of(content.as_bytes()),
            sha256: None,
            slices: Vec::new(),
            tensors: None,
        }
    }

    fn step(id: &str, reads: &[(&str, &str)], makes: &[(&str, &str)]) -> GraphStep {
        let digest = |content: &str| Digest::of(content.as_bytes());
        let inputs = reads.iter().map(|(path, c)| Reference { path: path.parse().unwrap(), digest: digest(c) });
        let outputs = makes.iter().map(|(path, c)| Output {
            path: path.parse().unwrap(),
            kind: ArtifactKind::Tokens,
            digest: digest(c),
        });
        GraphStep {
            id: id.to_owned(),
            kind: StepKind::Clean,
            numerics: None,
            config: None,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            incomplete: None,
        }
    }

    fn told(artifacts: Vec<Artifact>, steps: Vec<GraphStep>) -> Vec<(GraphRule, String, String)> {
        let manifest = Manifest::new("m", "t", vec![], artifacts, steps).unwrap();
        check_graph(&manifest).into_iter().map(|f| (f.rule, f.path, f.what)).collect()
    }

    /// As in Pythia-12b for two of its 154 steps until 2026.
    #[test]
    fn the_last_weights_under_an_earlier_step_show() {
        let weights = |step: u64, content: &str| {
            artifact(&format!("step{step}/pytorch_model-00001.bin"), ArtifactKind::Checkpoint, content)
        };
        let config =
            |step: u64| artifact(&format!("step{step}/config.json"), ArtifactKind::Checkpoint, "the same always");
        let mut artifacts: Vec<_> = (0..6).map(|at| weights(at * 1000, &format!("{at}"))).collect();
        artifacts.extend((0..6).map(|at| config(at * 1000)));
        assert_eq!(told(artifacts.clone(), vec![]), []);
        artifacts[2] = weights(2000, "5");
        let found = told(artifacts, vec![]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].0, found[0].1.as_str()),
            (GraphRule::SameWeightsAtTwoSteps, "step5000/pytorch_model-00001.bin")
        );
        assert!(found[0].2.contains("step2000/"), "{}", found[0].2);
    }

    /// Amber's are counted separately: `ckpt_010` is the eleventh checkpoint, not step 10.
    #[test]
    fn checkpoints_that_are_counted_by_themselves_are_not_called_steps() {
        let weights = |number: u64, content: &str| {
            artifact(&format!("ckpt_{number:03}/model.safetensors"), ArtifactKind::Checkpoint, content)
        };
        let artifacts = [0, 1, 2, 4, 5].map(|number| weights(number, if number == 5 { "1" } else { "2" }));
        let found: Vec<String> = told(artifacts[3..].to_vec(), vec![]).into_iter().map(|(.., what)| what).collect();
        assert_eq!(found, [""; 0]);
        let found: Vec<String> = told(artifacts[..].to_vec(), vec![]).into_iter().map(|(.., what)| what).collect();
        assert!(
            found.contains(&"checkpoint 1 has the very weights of checkpoint 0: ckpt_000/model.safetensors".to_owned())
        );
        assert!(found.contains(&"every 1 checkpoints, but not 3".to_owned()), "{found:?}");
    }

    #[test]
    fn a_gap_shows_and_a_change_of_stride_does_not() {
        let series = |steps: &[u64]| {
            let file = |step: &u64| {
                artifact(&format!("run/step-{step:06}/model.safetensors"), ArtifactKind::Checkpoint, &step.to_string())
            };
            told(steps.iter().map(file).collect(), vec![])
        };
        // Pythia's: powers of two, then thousands.
        let mut pythia: Vec<u64> = std::iter::once(0).chain((0..10).map(|power| 1 << power)).collect();
        pythia.extend((1..=143).map(|thousand| thousand * 1000));
        assert_eq!(series(&pythia), []);
        pythia.retain(|step| ![50_000, 51_000, 90_000].contains(step));
        let found: Vec<String> = series(&pythia).into_iter().map(|(.., what)| what).collect();
        assert_eq!(found, ["every 1000 steps, but not 50000, 51000", "every 1000 steps, but not 90000"]);
        assert_eq!(series(&[0, 10, 20, 50, 80, 110]), []);
        assert_eq!(series(&[5]), []);
    }

    #[test]
    fn what_no_artifact_provides_and_no_step_made_shows() {
        let artifacts = vec![artifact("a", ArtifactKind::Shard, "1"), artifact("b", ArtifactKind::Tokens, "2")];
        assert_eq!(told(artifacts.clone(), vec![step("s", &[("a", "1")], &[("b", "2")])]), []);
        let mut more = artifacts.clone();
        more.push(artifact("c", ArtifactKind::Tokens, "3"));
        let made = step("s", &[("a", "other"), ("gone", "3")], &[("c", "3")]);
        let found = told(more, vec![made]);
        let rules: Vec<_> = found.iter().map(|(rule, path, _)| (*rule, path.as_str())).collect();
        use GraphRule::{UnmadeArtifact, UnprovidedFile};
        assert_eq!(rules, [(UnprovidedFile, "a"), (UnprovidedFile, "gone"), (UnmadeArtifact, "b")]);
        // If no step makes tokens, they came from elsewhere, which is allowed.
        assert_eq!(told(artifacts, vec![step("s", &[("a", "1")], &[])]), []);
    }

    #[test]
    fn a_cycle_shows_with_its_steps_alone() {
        let artifacts: Vec<_> = ["a", "b", "c", "d"].map(|path| artifact(path, ArtifactKind::Tokens, path)).into();
        let steps = vec![
            step("before", &[], &[("d", "d")]),
            step("one", &[("b", "b"), ("d", "d")], &[("a", "a")]),
            step("two", &[("a", "a")], &[("b", "b")]),
            step("behind", &[("b", "b")], &[("c", "c")]),
        ];
        let found = told(artifacts, steps);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == GraphRule::Cycle && found[0].2.ends_with("in a circle: one, two"), "{found:?}");
    }
}
