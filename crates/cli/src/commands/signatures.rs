//! The checks of signatures in `verify`: of the manifest, and of OMS bundles.

use std::collections::BTreeSet;
use std::path::Path;

use retrace_files::RegularFile;
use retrace_manifest::{Bundle, Expected, Trust, check_manifest};
use retrace_sign::{Envelope, Identity};
use retrace_spec::foreign::excerpt;
use retrace_spec::{Manifest, RelPath};
use serde::Serialize;

use super::keys;
use super::seal::inside;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// No signature of a manifest is longer, so no more is read.
const MOST_BYTES: u64 = 1 << 20;

/// The verified files, and the locations of their signatures.
pub(super) struct Verified<'a> {
    /// The file named by the user: a manifest, a bundle or a list.
    pub(super) file: &'a Path,
    /// If it is a manifest: as read, and combined with those of its parts.
    pub(super) manifest: Option<(&'a Manifest, &'a Manifest)>,
    /// The bundles, which may include that file.
    pub(super) bundles: &'a [(String, Bundle)],
    /// Every file that is checked, including those in additional lists.
    pub(super) expected: &'a [Expected],
    /// Whether additional lists were named.
    pub(super) lists: bool,
    /// The directory.
    pub(super) root: &'a Path,
    /// The actual or default path of the manifest's signature, and whether the user named it.
    pub(super) signature: (&'a Path, bool),
}

/// The result for a signature.
#[derive(Debug, Serialize)]
pub(super) struct Signed {
    /// The signature's file.
    pub(super) file: String,
    /// `None` if no expected signer was named.
    pub(super) holds: Option<bool>,
    /// What it signs, or what is wrong.
    pub(super) what: String,
    /// The signer, if the signature is valid.
    pub(super) signer: Vec<Identity>,
    /// Whether the signer was named by key or identity, and not only certified by a trusted root.
    pub(super) pinned: bool,
}

/// Who signed the verified content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Standing {
    /// A named signer signed all of it.
    Signed,
    /// A signature is not valid, or does not cover everything.
    Refused,
    /// No signer was named; the root equals the published one that the user gave.
    Published,
    /// There is a signature that was not checked, because no signer was named.
    Unchecked,
    /// No known signer: a person who can change a file can also write this again.
    Unsigned,
}

impl Standing {
    /// The conclusion from the signatures, and from a root that the user gave and that equals the manifest's.
    pub(super) fn of(signatures: &[Signed], published: bool) -> Self {
        let any = |holds| signatures.iter().any(|signature| signature.holds == holds);
        match () {
            () if any(Some(false)) => Self::Refused,
            () if any(Some(true)) => Self::Signed,
            () if published => Self::Published,
            () if any(None) => Self::Unchecked,
            () => Self::Unsigned,
        }
    }

    /// Says so if nobody vouches for a manifest.
    pub(super) fn say(self, terminal: &Terminal) {
        if self == Self::Unsigned {
            let what = "nobody vouches for it: anyone who can change a file can also seal it again; see --public-key and --root";
            terminal.say(Tone::Faint, "unsigned", what);
        }
    }
}

impl Signed {
    fn refused(file: String, what: String) -> Self {
        Self { file, holds: Some(false), what, signer: Vec::new(), pinned: false }
    }

    fn unchecked(file: String, what: String) -> Self {
        Self { holds: None, ..Self::refused(file, what) }
    }

    /// The last lines of the verb: which signatures are valid, and which were not checked.
    pub(super) fn say(&self, terminal: &Terminal) {
        match self.holds {
            Some(true) => {
                terminal.say(Tone::Good, "signed", format_args!("{}, by {}", self.what, keys::listed(&self.signer)));
                if !self.pinned {
                    let what = "any signer that these authorities vouch for is accepted; name one with --identity";
                    terminal.say(Tone::Faint, "not pinned", what);
                }
            }
            Some(false) => {}
            None => terminal.say(Tone::Bad, "unchecked", format_args!("{}: {}", self.file, self.what)),
        }
    }
}

impl Verified<'_> {
    /// The results for the signatures. With `trust`, verified content that no trusted signer signed is included as
    /// refused.
    pub(super) fn check(&self, trust: Option<&Trust>) -> Result<Vec<Signed>, Failure> {
        let mut said = Vec::new();
        let own = name(self.file);
        for (file, bundle) in self.bundles {
            said.push(match trust {
                Some(trust) => bundle_signed(file, bundle, trust),
                None if self.manifest.is_none() && *file == own => {
                    let help = "name the accepted signer: --public-key FILE for a key, --trust FILE for certificates";
                    return Err(Failure::usage(
                        format!("{file} is a signed bundle, and you named no accepted signer"),
                        help,
                    ));
                }
                None => {
                    let by = bundle.signer();
                    let what =
                        format!("its signature, by {by}, was not checked; check it with --public-key or --trust");
                    Signed::unchecked(file.clone(), what)
                }
            });
        }
        let (path, chosen) = self.signature;
        let file = name(path);
        // A bundle is sufficient if the manifest has no signature of its own.
        let looked_for = chosen || path.exists();
        let mut manifest_signed = false;
        match (self.manifest, trust) {
            (None, Some(_)) if self.bundles.is_empty() => {
                let help = "only OMS bundles and manifests signed by `retrace sign` have signatures; leave out the key or the certificates";
                return Err(Failure::usage(format!("{own} is a list without a signature"), help));
            }
            (Some(_), None) if looked_for => {
                said.push(Signed::unchecked(
                    file,
                    "the signature was not checked; check it with --public-key FILE".to_owned(),
                ));
            }
            (Some((manifest, _)), Some(Trust::Key(key))) if looked_for || self.bundles.is_empty() => {
                let envelope = match path.exists() {
                    true => RegularFile::open(path).and_then(|file| file.text(MOST_BYTES)).map_err(|e| e.to_string()),
                    false => Err("there is no such file".to_owned()),
                };
                let parse = |text: String| {
                    let form = |e: serde_json::Error| format!("it is not a signature: {}", excerpt(&e.to_string()));
                    serde_json::from_str::<Envelope>(&text).map_err(form)
                };
                let checked = envelope.and_then(parse);
                let checked = checked.and_then(|e| check_manifest(manifest, &e, key).map_err(|e| e.to_string()));
                manifest_signed = checked.is_ok();
                said.push(match checked {
                    Ok(()) => Signed {
                        file,
                        holds: Some(true),
                        what: "name and root".to_owned(),
                        signer: Identity::of(key).into_iter().collect(),
                        pinned: true,
                    },
                    Err(what) => Signed::refused(file, what),
                });
            }
            (Some(_), Some(Trust::Roots { .. })) if self.bundles.is_empty() || chosen => {
                let what = "manifests are signed with keys, not with certificates; give --public-key".to_owned();
                said.push(Signed::refused(file, what));
            }
            (Some(_), Some(Trust::Roots { .. })) if looked_for => {
                said.push(Signed::unchecked(file, "it is by a key, and no key was given".to_owned()));
            }
            _ => {}
        }
        let refused = said.iter().any(|signature| signature.holds == Some(false));
        if trust.is_some() && !refused && self.lists {
            said.extend(self.unsigned(manifest_signed));
        }
        Ok(said)
    }

    /// The verified files that no signature covers; all signatures are valid.
    fn unsigned(&self, manifest_signed: bool) -> Option<Signed> {
        let bundled = self.bundles.iter().flat_map(|(_, bundle)| &bundle.files).map(|file| &file.path);
        let mut signed: BTreeSet<&RelPath> = bundled.collect();
        let itself = manifest_signed
            || self.manifest.is_none()
            || inside(self.root, self.file).is_some_and(|path| signed.contains(&path));
        if let Some((_, whole)) = self.manifest.filter(|_| manifest_signed) {
            signed.extend(whole.artifacts.iter().map(|artifact| &artifact.path));
        }
        let without = self.expected.iter().filter(|entry| !signed.contains(&entry.path)).count() as u64;
        let (file, files) = match self.manifest.is_some() && !manifest_signed {
            true => (name(self.signature.0), "sealed file"),
            false => (name(self.file), "listed file"),
        };
        let what = match (without, itself) {
            (0, true) => return None,
            (0, false) => "there is no such file, and no bundle signs the manifest itself".to_owned(),
            _ if itself => format!("no signature covers {}", count(without, files)),
            _ => format!("there is no such file, and no bundle signs {}", count(without, files)),
        };
        Some(Signed::refused(file, what))
    }
}

fn bundle_signed(file: &str, bundle: &Bundle, trust: &Trust) -> Signed {
    match bundle.check(trust) {
        Ok(signer) => Signed {
            file: file.to_owned(),
            holds: Some(true),
            what: "the bundle".to_owned(),
            signer,
            pinned: !matches!(trust, Trust::Roots { identities, .. } if identities.is_empty()),
        },
        Err(error) => Signed::refused(file.to_owned(), error.to_string()),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
