//! Runs one step of a release again, in a private directory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::fs;
use std::path::Path;

use retrace_files::{FileError, Root, Silent, Stamp, Wanted, hash_beneath};
use retrace_manifest::Again;
use retrace_manifest::record::{self, SCRATCH};
use retrace_model::Engine;
use retrace_spec::manifest::{GraphStep, Reference, StepKind};
use retrace_spec::{Digest, Manifest, RelPath, Step};
use retrace_steps::{Options, open, save};
use retrace_train::replay;

use super::super::{Opened, in_release, run_of};
use crate::errors::Failure;
use crate::terminal::Terminal;

/// A release whose steps are replayed. It is untrusted: its files are opened without following links, and nothing is
/// written below its directory.
#[derive(Debug)]
pub(super) struct Release<'a> {
    root: &'a Root,
    /// Combined with those of its parts.
    manifest: &'a Manifest,
    /// The engine that computes models.
    engine: Engine,
    /// For each file that was hashed, its stamp at that time.
    hashed: HashMap<RelPath, (Stamp, Digest)>,
}

impl<'a> Release<'a> {
    /// The release below `root`, whose models `engine` computes.
    pub(super) fn new(root: &'a Root, manifest: &'a Manifest, engine: Engine) -> Self {
        Self { root, manifest, engine, hashed: HashMap::new() }
    }

    /// Whether all inputs and outputs of `step` exist here, unchanged.
    pub(super) fn has_all_of(&mut self, step: &GraphStep) -> bool {
        let mut has = |path: &RelPath, digest: Digest| self.digest(path).is_ok_and(|found| found == digest);
        step.inputs.iter().all(|input| has(&input.path, input.digest))
            && step.outputs.iter().all(|output| has(&output.path, output.digest))
    }

    /// Runs `step` in `scratch`, which is made for it and removed, and compares its outputs.
    pub(super) fn again(&mut self, step: &GraphStep, scratch: &Path, terminal: &Terminal) -> Result<Again, Failure> {
        if let Some(because) = contradiction(step) {
            return Ok(Again::Invalid { because });
        }
        let changed: Vec<String> = step
            .outputs
            .iter()
            .filter(|output| self.digest(&output.path).ok() != Some(output.digest))
            .map(|output| format!("{} here, which is not what the step made", output.path))
            .collect();
        fs::create_dir(scratch).map_err(FileError::io(scratch, "make directory"))?;
        let compared = self.lend(step, scratch).and_then(|()| {
            carry_out(step, scratch, self.engine, terminal).map_err(|failure| self.told(&failure, scratch))?;
            self.compare(step, scratch)
        });
        fs::remove_dir_all(scratch).map_err(FileError::io(scratch, "remove"))?;
        let mut findings = match compared {
            Err(because) if changed.is_empty() => return Ok(Again::NotReplayed { because }),
            Err(because) => vec![format!("nothing was made again: {because}")],
            Ok(findings) if step.kind == StepKind::Train && !(findings.is_empty() && changed.is_empty()) => {
                let diagnosed = diagnosed(self.root, step, self.engine, terminal);
                let told = diagnosed
                    .unwrap_or_else(|failure| vec![format!("why is not known: {}", self.told(&failure, scratch))]);
                findings.into_iter().chain(told).collect()
            }
            Ok(findings) => findings,
        };
        findings.extend(changed);
        Ok(if findings.is_empty() { Again::SameBits } else { Again::Differs { outputs: findings } })
    }

    /// The digest of the file at `path`, computed once as long as the file is unchanged.
    fn digest(&mut self, path: &RelPath) -> Result<Digest, FileError> {
        let stamp = Stamp::of(self.root.file(path)?.metadata());
        if let Some((known, digest)) = self.hashed.get(path)
            && *known == stamp
        {
            return Ok(*digest);
        }
        let hashed = hash_beneath(self.root, path, Wanted::default(), &Silent)?;
        self.hashed.extend(hashed.stamp.map(|stamp| (path.clone(), (stamp, hashed.digest))));
        Ok(hashed.digest)
    }

    /// Copies the inputs of the step into `scratch`; the error is the reason as text. Copies, not links: a step's
    /// changes to them must not affect the release. The copy is hashed, which no other process can change any more.
    fn lend(&self, step: &GraphStep, scratch: &Path) -> Result<(), String> {
        let here = retrace_numerics::VERSION;
        if let Some(numerics) = step.numerics.filter(|numerics| *numerics != here) {
            return Err(format!("it was made with numerics version {numerics}; here is {here}"));
        }
        let told = |error: FileError| self.told(&error, scratch);
        let place = Root::open(scratch).map_err(told)?;
        let inputs: BTreeSet<&Reference> = step.inputs.iter().collect();
        for Reference { path, digest } in inputs {
            let file = self.root.file(path).map_err(told)?;
            let sealed = self.manifest.artifact(path).filter(|artifact| artifact.digest == *digest);
            // A file that is too long is not copied.
            let same = sealed.is_none_or(|artifact| artifact.size == file.size()) && {
                place.copy(path, file).map_err(told)?;
                hash_beneath(&place, path, Wanted::default(), &Silent).map_err(told)?.digest == *digest
            };
            if !same {
                return Err(format!("{path} is not what the step read"));
            }
        }
        // On a file system that considers two names equal, an input could be mistaken for an output.
        match step.outputs.iter().find(|output| place.has(&output.path)) {
            Some(output) => Err(format!("{} names a file here that the step reads", output.path)),
            None => Ok(()),
        }
    }

    /// The outputs in `scratch` that differ from the manifest; the error is the reason, as text, why this cannot be
    /// determined.
    fn compare(&self, step: &GraphStep, scratch: &Path) -> Result<Vec<String>, String> {
        let told = |error: &dyn Display| self.told(error, scratch);
        if step.outputs.is_empty() {
            return Err("the manifest names nothing that it made".to_owned());
        }
        let made = Root::open(scratch).map_err(|e| told(&e))?;
        let mut findings = Vec::new();
        for output in &step.outputs {
            match hash_beneath(&made, &output.path, Wanted::default(), &Silent) {
                Ok(hashed) if hashed.digest == output.digest => {}
                Ok(_) => findings.push(output.path.to_string()),
                Err(_) => findings.push(format!("{}, which the step does not make", output.path)),
            }
        }
        // The report of the step when it is run here, with paths relative to its document.
        let directory = step.config.as_ref().and_then(RelPath::parent);
        let place = directory.as_ref().map_or_else(|| scratch.to_owned(), |directory| directory.under(scratch));
        let place = Root::open(&place).map_err(|e| told(&e))?;
        let Some(recorded) = record::load_all(&place).map_err(|e| told(&e))?.pop() else { return Ok(findings) };
        let within = |path: &RelPath| match &directory {
            Some(directory) => directory.join(path.as_str()).unwrap_or_else(|_| path.clone()),
            None => path.clone(),
        };
        let read: BTreeSet<RelPath> = recorded.inputs.iter().map(|input| within(&input.path)).collect();
        let unread = step.inputs.iter().filter(|input| !read.contains(&input.path));
        findings
            .extend(unread.map(|input| format!("{} is said to be read, and the step does not read it", input.path)));
        if let Some(what) = recorded.incomplete.filter(|what| step.incomplete.as_ref() != Some(what)) {
            findings.push(format!("it cannot read all of its inputs, and the manifest does not say so: {what}"));
        }
        let said: BTreeSet<&RelPath> = step.outputs.iter().map(|output| &output.path).collect();
        for output in &recorded.outputs {
            let path = within(&output.path);
            let sealed = self.manifest.artifact(&path).filter(|artifact| artifact.digest != output.digest);
            if sealed.is_some() && !said.contains(&path) {
                findings.push(format!("{path}, of which the manifest does not say that the step makes it"));
            }
        }
        Ok(findings)
    }

    /// An error, without the paths of the release and `scratch` on this machine.
    fn told(&self, error: &(impl Display + ?Sized), scratch: &Path) -> String {
        [scratch, self.root.path()]
            .into_iter()
            .filter(|path| path.is_absolute())
            .fold(error.to_string(), |text, path| text.replace(&format!("{}/", path.display()), ""))
    }
}

/// A contradiction in the manifest's entry of a step, if there is one.
fn contradiction(step: &GraphStep) -> Option<String> {
    let mut digests: BTreeMap<&RelPath, Digest> = BTreeMap::new();
    for Reference { path, digest } in &step.inputs {
        if digests.insert(path, *digest).is_some_and(|before| before != *digest) {
            return Some(format!("it is said to have read {path} with two contents"));
        }
        if path.as_str().split('/').any(|part| part == SCRATCH) {
            return Some(format!("it is said to have read {path}, which is never part of a release"));
        }
    }
    let config = step.config.as_ref().filter(|config| !digests.contains_key(config));
    config.map(|config| format!("{config}, which says how it was done, is not among what it read"))
}

/// Runs the step below `scratch`, where its inputs are.
fn carry_out(step: &GraphStep, scratch: &Path, engine: Engine, terminal: &Terminal) -> Result<(), Failure> {
    let cannot = |what: String| Err(Failure::usage(what, "replay the steps that can be"));
    let Some(config) = &step.config else {
        return cannot("it has no document that says how it was done".to_owned());
    };
    let directory = config.parent().map_or_else(|| scratch.to_owned(), |parent| parent.under(scratch));
    let (root, document) = (Root::open(&directory)?, in_release(config.file_name())?);
    let again = open(&root, &document)?;
    if again.kind() != step.kind {
        return cannot(format!("its document is of a step that is called {:?}", again.id()));
    }
    let options = Options { engine, ..Options::default() };
    let (summary, outputs) = again.carry_out(&root, &options, terminal.progress().as_ref())?;
    save(&root, &document, again.as_ref(), outputs, summary.incomplete)?;
    Ok(())
}

/// Where the recomputation of a published training differs, as text.
fn diagnosed(root: &Root, step: &GraphStep, engine: Engine, terminal: &Terminal) -> Result<Vec<String>, Failure> {
    let Some(config) = &step.config else { return Ok(Vec::new()) };
    let (Opened { document: run, root, .. }, _) = run_of(root, config)?;
    let network = engine.network(&run.model)?;
    let stretch = (Step(0), run.steps());
    let replayed = replay(&root, &run, network.as_ref(), stretch, true, terminal.progress().as_ref())?;
    Ok(replayed.findings.iter().map(ToString::to_string).collect())
}
