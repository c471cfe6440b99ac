//! `retrace verify`

mod check;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use retrace_manifest::{CheckpointFinding, Disagreement, Elsewhere, Entry, FileSample, GraphFinding, Place, Verdict};
use retrace_spec::Digest;

use super::Exit;
use super::keys::Trusted;
use super::signatures::{Signed, Standing};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, bytes, count};
pub(super) use check::Outcome;
use source::{Listing, file_name};

/// Check every file of a directory against a manifest, byte for byte
///
/// Reports each file that is changed, missing, extra or renamed, and how: which range of bytes, which
/// tensors, which other file has this content. Also reports contradictions inside the manifest: the
/// same weights under two steps, a gap in a series of checkpoints, an input of a step that is not in
/// the release. Prints one finding per line, and nothing if there is none. Anyone who can change a file
/// can also seal the directory again, so compare the root with the published one (--root). A part of
/// the release whose manifest is missing or changed is a finding too, because its files cannot be
/// checked. Files that the manifest leaves out, and `.retrace`, are not checked and are no finding.
///
/// MANIFEST can also be a list from another tool: SHA256SUMS, B3SUMS, an MD5 list, their BSD form, a
/// model hub's file tree as JSON (also one with only `xetHash`), what the hub's client keeps of it
/// (`.cache/huggingface/trees`), a Croissant description of a dataset, `NAME.dvc`, `dvc.lock` or a DVC list
/// of a directory, or a directory with Git LFS pointers. Such a list may cover only some of the files; the others are no
/// finding. Or it is an OMS bundle (`model.sig`): its signature is checked, and files that it does not
/// list are findings.
///
/// A signature says who vouches for these bytes. It is checked only if you name an accepted signer;
/// then everything that this signer did not sign is a finding. Without that, `verify` says that it did
/// not check the signature. A manifest is signed with a key (--public-key). A bundle can be signed with a
/// certificate (--trust); then every signer that the authority vouches for is accepted, unless
/// --identity names one. A signature does not cover what the manifest or bundle leaves out, empty
/// directories, times, owners and modes. It does not prove that the signed claims are true.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace verify release/manifest.yaml
  retrace verify release.json /mnt/copy
  retrace verify release/manifest.yaml --root b3:…
  retrace verify release.json /mnt/part --only kind=checkpoint --only runs/base/step-000120
  retrace verify release.json /mnt/copy --sample 5%
  retrace verify release.json ~/.cache/…/snapshots/0123abc --hub-cache
  retrace verify SHA256SUMS /mnt/copy
  retrace verify release.json /mnt/part --only-present
  retrace verify release.json /mnt/copy --also SHA256SUMS --also hub-tree.json
  retrace verify release.json /mnt/copy --resume verified.jsonl
  retrace verify release/manifest.yaml --public-key key.pub.pem
  retrace verify model.sig /mnt/copy --public-key key.pub.pem
  retrace verify model.sig /mnt/copy --trust authority.pem --identity releases@example.org
  retrace verify model.sig /mnt/copy --trust authority.pem --at 2026-03-01
  retrace verify --json release/manifest.yaml > verified.json

Exit codes: 0 everything matches, 1 a finding, 2 an error.")]
pub(crate) struct Verify {
    /// The manifest, or another tool's list of checksums
    manifest: PathBuf,
    /// The release's directory [default: the manifest's directory]
    dir: Option<PathBuf>,
    /// The published root, which the manifest must have
    #[arg(long, value_name = "DIGEST")]
    root: Option<Digest>,
    /// Check this list in the same pass too, and report where it disagrees with the manifest
    #[arg(long, value_name = "LIST")]
    also: Vec<PathBuf>,
    /// Check only these: `kind=KIND`, a file, or a directory; can be repeated
    #[arg(long, value_name = "WHAT")]
    only: Vec<String>,
    /// Read only this fraction of the files, chosen at random: `5%` or `0.05`; prints what that proves
    #[arg(long, value_name = "FRACTION", value_parser = fraction, conflicts_with = "only")]
    sample: Option<f64>,
    /// Choose the sample by this seed, to check the same sample as someone else
    #[arg(long, value_name = "TEXT", requires = "sample")]
    seed: Option<String>,
    /// DIR is a snapshot in a hub's cache: follow its links into `blobs`, and no other links
    #[arg(long)]
    hub_cache: bool,
    /// Do not report extra files; print how many paths are not listed
    #[arg(long)]
    ignore_extra: bool,
    /// Check only the listed files that are there, and print how many are not: for a partial copy. If none
    /// is there, all are findings. A checkpoint of which a file is not there is not searched for contradictions
    #[arg(long)]
    only_present: bool,
    /// Record in FILE which files are verified, and skip the files that it already records and that have
    /// not changed since: to continue after an interruption. FILE decides what is not read. So nobody
    /// else may be able to write it, it must be outside DIR, and it is valid only for this manifest and DIR
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Read large files through a memory map: faster if they are already in the page cache. But if one
    /// is truncated during the read, the system kills this program without a message
    #[arg(long)]
    mmap: bool,
    #[command(flatten)]
    trusted: Trusted,
    /// The manifest's signature [default: the manifest's name with `.sig` appended]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let outcome = self.check(terminal)?;
        let (holds, others) = (outcome.holds(), outcome.others());
        let Outcome { kind, sealed_root, other_root, listed, ignored, sampled, before, .. } = outcome;
        let Outcome { graph, disagreements, elsewhere, parts, absent, .. } = outcome;
        let Outcome { links, signatures, standing, verification, .. } = outcome;
        let (complete, published) = (kind != Listing::List, self.root.is_some() && other_root.is_none());
        let result = Said {
            holds,
            listing: kind,
            verified_before: before,
            root: sealed_root,
            published_root: self.root,
            sample: sampled.as_ref(),
            counts: verification.counts(),
            entries: &verification.entries,
            elsewhere: &elsewhere,
            may_be_parts: &parts,
            absent,
            graph: &graph,
            checkpoints: &verification.checkpoints,
            disagreements: &disagreements,
            signatures: &signatures,
            trust: standing,
        };
        terminal.result("verify/1", &result, |out| {
            let mut finding =
                |what: &str, rest: String| writeln!(out, "{} {rest}", terminal.tone(Tone::Bad, format!("{what:<12}")));
            if let Some(published) = other_root {
                let sealed = sealed_root.map_or_else(|| "no root".to_owned(), |root| root.to_string());
                finding("root", format!("the manifest has {sealed}, not {published}"))?;
            }
            for Signed { file, what, .. } in signatures.iter().filter(|signature| signature.holds == Some(false)) {
                finding("signature", format!("{file}: {what}"))?;
            }
            for GraphFinding { path, what, .. } in &graph {
                finding("graph", format!("{path}: {what}"))?;
            }
            for CheckpointFinding { path, what } in &verification.checkpoints {
                finding("checkpoint", format!("{path}: {what}"))?;
            }
            for entry in elsewhere.iter().filter(|entry| entry.is_finding()) {
                let what = match entry.place {
                    Place::Address => "it is not a file of the directory, so its listed digest was not checked",
                    Place::Directory => "the list has this directory and none of its files, so these were not checked",
                };
                finding("unverifiable", format!("{}: {what}", entry.what))?;
            }
            for found in &disagreements {
                finding("disagreement", format!("{}: {}", found.path, found.what))?;
            }
            // What other programs keep beside the files is one line each, after all else.
            let mut kept: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
            let (extra, other): (Vec<_>, Vec<_>) =
                verification.findings().partition(|entry| entry.verdict == Verdict::Extra);
            for entry in other.into_iter().chain(extra) {
                match bookkeeping(entry) {
                    Some((place, whose)) => kept.entry(place).or_insert((0, whose)).0 += 1,
                    None => finding(name(entry.verdict), format!("{}: {}", entry.path, entry.diagnosis))?,
                }
            }
            kept.iter().try_for_each(|(place, (files, whose))| {
                finding("extra", format!("{place}: {} of {whose}, which are not listed", count(*files, "file")))
            })
        })?;

        let counts = verification.counts();
        let verified = counts.get(&Verdict::Verified).copied().unwrap_or(0);
        let files = count(listed as u64, "file");
        if holds {
            let part = match verified == listed {
                true => files.clone(),
                false => format!("{} of {files}", count(verified as u64, "file")),
            };
            let how = match kind {
                Listing::Manifest => "as sealed",
                Listing::Bundle => "as signed",
                Listing::List => "as listed",
            };
            // `None` if lengths are not listed.
            let size = verification.bytes.map_or_else(String::new, |size| format!(", {}", bytes(size)));
            let unread = before.filter(|before| *before > 0).map_or_else(String::new, |before| {
                format!("; {} of them verified before and skipped", count(before as u64, "file"))
            });
            terminal.say(Tone::Good, "verified", format_args!("{part}{size}: all {how}{unread}"));
        } else {
            let findings = verification.findings().count() + others;
            terminal.say(Tone::Bad, &count(findings as u64, "finding"), format_args!("among {files}"));
            let extra = counts.get(&Verdict::Extra).copied().unwrap_or(0);
            if extra == findings && verified == listed {
                let what = "are verified, and the others are extra; --ignore-extra leaves extra files out";
                terminal.say(Tone::Faint, "listed", format_args!("all {files} {what}"));
            }
        }
        let weak = verification.entries.iter().filter(|e| e.verdict == Verdict::Verified && !e.diagnosis.is_empty());
        if let Some(entry) = weak.clone().next() {
            terminal.say(
                Tone::Faint,
                "weakly",
                format_args!("{} {}", count(weak.count() as u64, "file"), entry.diagnosis),
            );
        }
        if let Some(FileSample { files, of, would_find, seed, .. }) = &sampled {
            let proves = if would_find <= of {
                format!("if {would_find} or more were changed, this would find one with a probability of at least 95 %")
            } else {
                "too few to prove anything".to_owned()
            };
            terminal.say(Tone::Faint, "sample", format_args!("{files} of {of} files; {proves}; --seed {seed}"));
        }
        if let (Some(before @ 1..), Some(file), false) = (before, &self.resume, holds) {
            let files = count(before as u64, "file");
            terminal.say(Tone::Faint, "skipped", format_args!("{files}, recorded in {} as verified", file.display()));
        }
        if kind == Listing::List {
            let what = "is an unsigned list of checksums, not a manifest: it has no root, and nobody vouches for it";
            terminal.say(Tone::Bad, "list only", format_args!("{} {what}", file_name(&self.manifest)));
        }
        signatures.iter().for_each(|signature| signature.say(terminal));
        if kind != Listing::List {
            standing.say(terminal);
        }
        if let Some(root) = sealed_root {
            let given = if published { ", as given by --root" } else { "" };
            terminal.say(Tone::Faint, "root", format_args!("{root}{given}"));
        }
        if !complete || self.ignore_extra {
            let unlisted = counts.get(&Verdict::Skipped).copied().unwrap_or(0).saturating_sub(absent);
            terminal.say(Tone::Faint, "not listed", count(unlisted as u64, "path"));
        }
        if let Some(what) = links {
            terminal.say(Tone::Faint, "links", what);
        }
        if absent > 0 {
            terminal.say(Tone::Bad, "not there", format_args!("{absent} of {files}, left out by --only-present"));
        }
        for part in &parts {
            terminal.say(Tone::Bad, "may be part", part);
        }
        let mut addresses = elsewhere.iter().filter(|entry| entry.place == Place::Address);
        let entries = match addresses.clone().count() {
            1 => "1 entry",
            more => &format!("{more} entries"),
        };
        if let Some(first) = addresses.next() {
            let what = format_args!("{entries}, no file of a copy but a repository or an address: {}", first.what);
            terminal.say(Tone::Faint, "not checked", what);
        }
        for path in &ignored {
            terminal.say(Tone::Faint, "not covered", path);
        }
        // The program ends here; freeing the many small allocations of a large verification would take time.
        std::mem::forget(verification);
        Ok(Exit::holds(holds))
    }
}

/// The result as JSON.
#[derive(serde::Serialize)]
struct Said<'a> {
    holds: bool,
    /// What the files were checked against.
    listing: Listing,
    /// With `--resume`, the number of files that were not read now, because they were noted as verified before.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_before: Option<usize>,
    root: Option<Digest>,
    published_root: Option<Digest>,
    sample: Option<&'a FileSample>,
    counts: BTreeMap<Verdict, usize>,
    entries: &'a [Entry],
    /// What a list has that is no file of the directory, and was not checked.
    #[serde(skip_serializing_if = "<[Elsewhere]>::is_empty")]
    elsewhere: &'a [Elsewhere],
    /// Why lists may have only a part of what their tool knows.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    may_be_parts: &'a [String],
    /// With `--only-present`, the number of listed files that are not there; each is an entry.
    #[serde(skip_serializing_if = "is_zero")]
    absent: usize,
    graph: &'a [GraphFinding],
    /// Contradictions between files of a checkpoint.
    checkpoints: &'a [CheckpointFinding],
    disagreements: &'a [Disagreement],
    signatures: &'a [Signed],
    trust: Standing,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// If an extra file is what another program keeps beside the files that it fetched or showed: where, and whose it is.
fn bookkeeping(entry: &Entry) -> Option<(&'static str, &'static str)> {
    if entry.verdict != Verdict::Extra || entry.was.is_some() {
        return None;
    }
    if entry.path.as_str().starts_with(".cache/huggingface/") {
        return Some((".cache/huggingface", "the client of Hugging Face"));
    }
    match entry.path.file_name() {
        ".mdl" | ".msc" | ".mv" => Some((".mdl, .msc, .mv", "the client of ModelScope")),
        ".DS_Store" => Some((".DS_Store", "the file manager of macOS")),
        _ => None,
    }
}

/// A fraction, as `5%` or `0.05`.
fn fraction(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    number
        .ok()
        .filter(|part| *part > 0.0 && *part <= 1.0)
        .ok_or_else(|| "give a fraction such as 5% or 0.05, up to 100%".to_owned())
}

const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Verified => "verified",
        Verdict::Changed => "changed",
        Verdict::Missing => "missing",
        Verdict::Extra => "extra",
        Verdict::Renamed => "renamed",
        Verdict::Skipped => "skipped",
        Verdict::Unverifiable => "unverifiable",
    }
}
