//! The auditor's notes of steps that were run again, so that they need not run a second time.
//!
//! A note is a statement that one step gave the same bits, in the same form as the statement of all steps
//! ([`attestation`]). It contains the release's root, the step's digest, the version, and the kind of machine. It is
//! signed if the statement of all steps is to be signed. A note counts only if all of this matches and only its owner
//! could have written it.

use std::path::Path;

use retrace_files::{FileError, Root, not_own, writable_by_others};
use retrace_manifest::{Again, Outcome, ReplayStatement as Statement, Replayer, attestation, read_attestation};
use retrace_sign::SigningKey;
use retrace_spec::{Checksum, Digest, Manifest, PathError, RelPath, canonical_digest};
use serde_json::json;

use crate::errors::Failure;
use crate::terminal::{Terminal, Tone};

/// No note is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// The notes in a directory of the auditor.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    root: Root,
    manifest: &'a Manifest,
    replayer: &'a Replayer,
    key: Option<&'a SigningKey>,
}

impl<'a> Notes<'a> {
    /// Those in `directory`, which is made if it does not exist.
    pub(super) fn open(
        directory: &Path,
        manifest: &'a Manifest,
        replayer: &'a Replayer,
        key: Option<&'a SigningKey>,
    ) -> Result<Self, Failure> {
        let root = Root::make_private(directory)?;
        // The parent directories are checked too: a user who can move one away can replace it by another.
        if let Some(why) = writable_by_others(directory)? {
            let what = format!("notes in {} cannot be trusted: {why}", directory.display());
            return Err(Failure::usage(what, "give a directory that you own and that nobody else can write to"));
        }
        Ok(Self { root, manifest, replayer, key })
    }

    /// The digest of the note that the step gave the same bits, if there is a valid one.
    pub(super) fn of(&self, step: &str, digest: Digest, terminal: &Terminal) -> Result<Option<Digest>, Failure> {
        let name = self.name(digest)?;
        if !self.root.has(&name) {
            return Ok(None);
        }
        let noted = self.read(&name).and_then(|(text, note)| {
            let key = self.key.map(SigningKey::public);
            let said = read_attestation(self.manifest, &text, key.as_ref()).map_err(|e| e.to_string())?;
            let outcome = Outcome { step: step.to_owned(), digest, again: Again::SameBits, note: None };
            let wanted = Statement { replayer: self.replayer.clone(), steps: vec![outcome], unknown: Vec::new() };
            if said == wanted { Ok(note) } else { Err("its content does not match its name".to_owned()) }
        });
        match noted {
            Ok(note) => Ok(Some(note)),
            Err(why) => {
                terminal.say(Tone::Faint, "note unused", format_args!("{step}: {name} is not used: {why}"));
                Ok(None)
            }
        }
    }

    /// Stores that a step gave the same bits, replacing an earlier note.
    pub(super) fn write(&self, outcome: &Outcome) -> Result<(), Failure> {
        let statement =
            Statement { replayer: self.replayer.clone(), steps: vec![outcome.clone()], unknown: Vec::new() };
        let text = attestation(self.manifest, &statement, self.key)?;
        // From its first byte on, no other user may open it for writing.
        self.root.write_private(&self.name(outcome.digest)?, text.as_bytes())?;
        Ok(())
    }

    /// The name of a step's note.
    fn name(&self, step: Digest) -> Result<RelPath, Failure> {
        let of = json!({"root": self.manifest.root, "step": step, "replayer": self.replayer});
        let name = Checksum::from(canonical_digest("replay-note/1", &of)?).hex();
        let refuse = |e: PathError| FileError::Name { path: self.root.path().join(&e.path), what: e.to_string() };
        Ok(format!("{name}.json").parse().map_err(refuse)?)
    }

    /// A note's text and digest, if only the owner could have written it; otherwise the reason as text.
    fn read(&self, name: &RelPath) -> Result<(String, Digest), String> {
        let file = self.root.file(name).map_err(|e| e.to_string())?;
        if let Some(why) = not_own(file.metadata()) {
            return Err(why.to_owned());
        }
        let text = file.text(LONGEST).map_err(|e| e.to_string())?;
        let digest = Digest::of(text.as_bytes());
        Ok((text, digest))
    }
}
