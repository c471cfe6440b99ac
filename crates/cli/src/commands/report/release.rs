//! `retrace report release`

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use retrace_audit::{Audited, Outcome as Asked, Rule, audit};
use retrace_files::{FileError, RegularFile};
use retrace_manifest::{Again, Unknown, read_attestation, unfold};
use retrace_query::Session;
use retrace_report::{Attested, AuditFinding, AuditResult, Review, ReviewPage, SignatureResult};
use retrace_spec::{Digest, KnownRoots, Manifest};
use serde_json::json;

use super::super::audit::say_not_applied;
use super::super::keys::{self, Trusted, public_key};
use super::super::query::Asking;
use super::super::seal::inside;
use super::super::verify::{Outcome, Verify};
use super::super::{Exit, Opened, in_release, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Check a release, and write a page about what was checked and what is only claimed
///
/// Verifies every file against the manifest and checks the root and the signature, as `verify` does, and applies the
/// rules of `audit`. The page says of each result whether it was checked now, or is a claim of the release or of
/// someone else, and gives the command that checks it again. No step is run again; attestations of `replay --all -o
/// FILE` say what others replayed. Nothing inside the release vouches for it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace report release release/manifest.yaml -o report
  retrace report release release/manifest.yaml --root b3:… --public-key key.pub.pem -o report
  retrace report release release/manifest.yaml --replayed replayed.json --replayed-key auditor.pub.pem -o report

Exit codes: 0 nothing was found, 1 a finding, 2 an error, or the rules could not be applied.")]
pub(crate) struct Release {
    /// The manifest, in the release's directory
    manifest: PathBuf,
    /// The published root, which the manifest must have
    #[arg(long, value_name = "DIGEST")]
    root: Option<Digest>,
    #[command(flatten)]
    trusted: Trusted,
    /// The manifest's signature [default: the manifest's name with `.sig` appended]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Attestations of replays, made by `retrace replay --all -o FILE`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    replayed: Vec<PathBuf>,
    /// The public key that must have signed the attestations
    #[arg(long, value_name = "FILE", requires = "replayed")]
    replayed_key: Option<PathBuf>,
    /// Report manifests that are not the latest of their release, or unknown, by the roots in FILE
    #[arg(long, value_name = "FILE")]
    known_roots: Option<PathBuf>,
    /// Write the page and its tables into DIR, which must not exist, outside the release
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

impl Release {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let Opened { document: manifest, root, .. } = open::<Manifest>(&self.manifest)?;
        self.refuse_output(root.path())?;
        let replays = self.attested(&manifest)?;
        let known = self.known_roots.as_deref().map(open::<KnownRoots>).transpose()?;
        let verify = Verify::of_manifest(&self.manifest, self.root, &self.trusted, self.signature.as_deref());
        let outcome = verify.check(terminal)?;
        if outcome.sealed_root != Some(manifest.root) {
            let what = format!("{} was changed while it was read", self.manifest.display());
            return Err(Failure::usage(what, "do this again when no other program writes to it"));
        }
        let audit = self.audited(root.path(), known, terminal);
        let unfolded = unfold(&manifest, root.path());
        let whole = unfolded.as_ref().map_or(&manifest, |unfolded| &unfolded.manifest);
        let unknown: &[Unknown] = unfolded.as_ref().map_or(&[], |unfolded| &unfolded.unknown);
        let file = self.manifest.file_name().unwrap_or_default().to_string_lossy();
        let signer = self.signer();
        let signatures = outcome.signatures.iter().map(|signed| SignatureResult {
            file: signed.file.clone(),
            holds: signed.holds,
            what: signed.what.clone(),
            signer: keys::listed(&signed.signer),
        });
        let review = Review {
            manifest: whole,
            root: manifest.root,
            file: &file,
            given_root: self.root,
            signer: &signer,
            verification: &outcome.verification,
            graph: &outcome.graph,
            unknown,
            signatures: signatures.collect(),
            replays,
            audit,
            numerics: retrace_numerics::VERSION,
        };
        if let Some(output) = &self.output {
            write(output, &review.page())?;
        }
        conclude(&review, &outcome, self.output.as_deref(), terminal)
    }

    /// A page inside the release would be a file that the manifest does not list.
    fn refuse_output(&self, release: &Path) -> Result<(), Failure> {
        let Some(output) = &self.output else { return Ok(()) };
        if output.exists() {
            let exists = io::ErrorKind::AlreadyExists.into();
            return Err(FileError::io(output, "make directory")(exists).into());
        }
        match inside(release, output) {
            Some(path) => {
                let what = format!("{path} would be inside the release, and its manifest does not list it");
                Err(Failure::usage(what, "give a directory outside the release with -o DIR"))
            }
            None => Ok(()),
        }
    }

    /// What the attestations say; each must be about this release, and signed by the key if one is given.
    fn attested(&self, manifest: &Manifest) -> Result<Vec<Attested>, Failure> {
        let key = self.replayed_key.as_deref().map(public_key).transpose()?;
        let one = |path: &PathBuf| -> Result<Attested, Failure> {
            const LONGEST: u64 = 64 << 20;
            let text = RegularFile::open(path)?.text(LONGEST)?;
            let statement = read_attestation(manifest, &text, key.as_ref()).map_err(|e| {
                let what = format!("{}: {e}", path.display());
                Failure::usage(what, "make it with `retrace replay MANIFEST --all -o FILE`")
            })?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let signer = key.as_ref().map(keys::name);
            Ok(Attested { file, digest: Digest::of(text.as_bytes()), signer, statement })
        };
        self.replayed.iter().map(one).collect()
    }

    /// What the rules find in the release's tables; or why they could not be applied.
    fn audited(
        &self,
        release: &Path,
        known: Option<Opened<KnownRoots>>,
        terminal: &Terminal,
    ) -> Result<AuditResult, String> {
        let found = || -> Result<(Audited, Vec<Rule>), Failure> {
            let rules = Rule::built_in()?;
            let mut session = Session::open_whole(&[release.to_owned()], self.asking.options())?;
            if let Some(Opened { document, path, .. }) = &known {
                session.know(document, path.as_str())?;
            }
            let audited = audit(&session, &rules, |_| {})?;
            self.asking.tell(&session, &mut BTreeSet::new(), terminal);
            Ok((audited, rules))
        };
        let (audited, rules) = found().map_err(|failure| without(&failure.to_string(), release))?;
        let mut result = AuditResult::default();
        for asked in audited.rules {
            match asked.outcome {
                Asked::Findings(_) => result.applied.push(asked.rule),
                Asked::NothingToAsk(tables) => result.not_applied.push((asked.rule, tables)),
            }
        }
        let finding = |of: retrace_audit::Finding| {
            let rule = rules.iter().find(|rule| rule.id == of.rule);
            AuditFinding {
                means: rule.map(|rule| format!("{} {}", rule.means, rule.advice)).unwrap_or_default(),
                rule: of.rule,
                severity: of.severity.word().to_owned(),
                subject: of.subject,
                finding: of.finding,
                evidence: of.evidence,
                sure: of.sure,
            }
        };
        result.findings = audited.findings.into_iter().map(finding).collect();
        Ok(result)
    }

    /// The options of `verify` that say whose signature is accepted. Of files only the names are on the page.
    fn signer(&self) -> Vec<(&'static str, String)> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Trusted { public_key, trust, identity, .. } = &self.trusted;
        let files = [("--public-key", public_key), ("--trust", trust), ("--signature", &self.signature)];
        let files = files.into_iter().filter_map(|(option, path)| Some((option, name(path.as_ref()?))));
        files.chain(identity.iter().map(|identity| ("--identity", identity.to_string()))).collect()
    }
}

/// An error, without the paths of the release on this machine.
fn without(error: &str, release: &Path) -> String {
    error.replace(&format!("{}/", release.display()), "")
}

fn write(output: &Path, page: &ReviewPage) -> Result<(), Failure> {
    retrace_files::write_whole_directory(output, |directory| -> Result<(), Failure> {
        directory.write(&in_release("report.html")?, page.html.as_bytes())?;
        for table in &page.tables {
            directory.write(&in_release(&format!("data/{}.csv", table.name))?, table.csv().as_bytes())?;
        }
        Ok(())
    })
}

/// Prints the results.
fn conclude(
    review: &Review<'_>,
    outcome: &Outcome,
    output: Option<&Path>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let audit = review.audit.as_ref();
    let (rules, found) = audit.map_or((0, 0), |audit| (audit.applied.len(), audit.findings.len()));
    let not_applied = audit.map_or(&[][..], |audit| audit.not_applied.as_slice());
    let not_applied: Vec<(&str, &[String])> =
        not_applied.iter().map(|(rule, tables)| (rule.as_str(), tables.as_slice())).collect();
    let outcomes = || review.replays.iter().flat_map(|attested| &attested.statement.steps);
    let differ = outcomes().filter(|of| matches!(of.again, Again::Differs { .. } | Again::Invalid { .. })).count();
    let holds = outcome.holds() && found == 0 && differ == 0;
    let exit = match (holds, audit) {
        (true, Err(_)) => Exit::Failed,
        (holds, _) => Exit::holds(holds),
    };
    let replays =
        review.replays.iter().map(|of| json!({"file": of.file, "signer": of.signer, "steps": of.statement.steps}));
    let result = json!({
        "holds": exit == Exit::Holds,
        "root": review.root,
        "given_root": review.given_root,
        "counts": review.verification.counts(),
        "findings": review.verification.findings().collect::<Vec<_>>(),
        "graph": review.graph,
        "signatures": outcome.signatures,
        "trust": outcome.standing,
        "replays": replays.collect::<Vec<_>>(),
        "rules": rules,
        "not_applied": not_applied.iter().map(|(rule, tables)| json!({"rule": rule, "tables": tables})).collect::<Vec<_>>(),
        "not_covered": outcome.ignored,
        "audit_findings": found,
        "not_audited": audit.err(),
        "output": output.map(|output| output.display().to_string()),
    });
    terminal.result("release-report/1", &result, |out| {
        for entry in review.verification.findings() {
            writeln!(out, "{}: {}", entry.path, entry.diagnosis)?;
        }
        for of in &review.verification.checkpoints {
            writeln!(out, "{}: {}", of.path, of.what)?;
        }
        review.graph.iter().try_for_each(|of| writeln!(out, "{}: {}", of.path, of.what))?;
        for of in audit.ok().into_iter().flat_map(|audit| &audit.findings) {
            writeln!(out, "{} {}: {}", of.rule, of.subject, of.finding)?;
        }
        Ok(())
    })?;
    let tone = |good| if good { Tone::Good } else { Tone::Bad };
    let files = count(outcome.listed as u64, "file");
    let not = review.verification.findings().count() as u64;
    let told = if not == 0 { "all as sealed".to_owned() } else { count(not, "finding") };
    terminal.say(tone(outcome.verification.holds()), "verified", format_args!("{files}: {told}"));
    if let Some(given) = outcome.other_root {
        terminal.say(Tone::Bad, "root", format_args!("the manifest has {}, not {given}", review.root));
    }
    for signed in &outcome.signatures {
        match signed.holds {
            Some(false) => terminal.say(Tone::Bad, "refused", format_args!("{}: {}", signed.file, signed.what)),
            _ => signed.say(terminal),
        }
    }
    outcome.standing.say(terminal);
    for path in &outcome.ignored {
        terminal.say(Tone::Faint, "not covered", path);
    }
    say_not_applied(&not_applied, terminal);
    match audit {
        Ok(_) => terminal.say(
            tone(found == 0),
            "audited",
            format_args!("{}: {}", count(rules as u64, "rule"), count(found as u64, "finding")),
        ),
        Err(why) => terminal.say(Tone::Bad, "not audited", why),
    }
    if !review.replays.is_empty() {
        let same = outcomes().filter(|of| of.again == Again::SameBits).count() as u64;
        let by =
            if review.replays.iter().all(|of| of.signer.is_some()) { "" } else { "; nobody's signature was checked" };
        terminal.say(tone(differ == 0), "attested", format_args!("{} gave the same bits{by}", count(same, "step")));
    }
    if let Some(output) = output {
        terminal.say(Tone::Good, "wrote", output.join("report.html").display());
    }
    Ok(exit)
}
