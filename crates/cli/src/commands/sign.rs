//! `retrace sign`

use std::path::{Path, PathBuf};

use retrace_files::{FileError, write_whole};
use retrace_manifest::sign_manifest;
use retrace_spec::Manifest;
use serde_json::json;

use super::keys::{exposed, name, signing_key};
use super::{Exit, open, refuse_input};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone};

/// Sign a manifest
///
/// Signs the release's name and root, and writes a DSSE envelope next to the manifest. The root covers
/// every field of every file, tensor and step in the manifest, and the list of what it leaves out. A
/// part of the release is covered by the digest of its manifest. The signature stays valid if the
/// manifest is converted between YAML and JSON. It does not cover the manifest's field `tool` (the
/// program that sealed it; anyone can change it, and no export has it), its comments and formatting,
/// the files that it leaves out, empty directories, times, owners and modes. A signature says who vouches
/// for the release. `retrace replay` shows that the training run happened as stated.
///
/// For the bundles of OpenSSF's model-signing, see `retrace export oms`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  (umask 077; openssl genpkey -algorithm ed25519 -out key.pem)
  openssl pkey -in key.pem -pubout -out key.pub.pem
  retrace sign release/manifest.yaml --key key.pem
  retrace verify release/manifest.yaml --public-key key.pub.pem")]
pub(crate) struct Sign {
    /// The manifest
    manifest: PathBuf,
    /// The private key as PEM: Ed25519, P-256, P-384 or P-521
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The signature's file [default: the manifest's name with `.sig` appended]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Sign {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let key = signing_key(&self.key, terminal)?;
        let manifest = open::<Manifest>(&self.manifest)?.document;
        let output = self.output.clone().unwrap_or_else(|| signature_of(&self.manifest));
        refuse_input(&output, &[&self.key, &self.manifest])?;
        let json = |e: serde_json::Error| FileError::Json { path: output.clone(), line: 1, what: e.to_string() };
        let envelope = sign_manifest(&manifest, &key).map_err(json)?;
        let text = serde_json::to_string_pretty(&envelope).map_err(json)? + "\n";
        write_whole(&output, text.as_bytes())?;
        let by = name(&key.public());
        let result = json!({
            "by": by,
            "key_exposed": exposed(&self.key),
            "name": manifest.name,
            "root": manifest.root,
            "signature": output.display().to_string(),
        });
        terminal.result("sign/1", &result, |out| writeln!(out, "{}", output.display()))?;
        terminal.say(Tone::Good, "signed", format_args!("{}, {}, by {by}", manifest.name, manifest.root));
        for path in &manifest.ignored {
            terminal.say(Tone::Faint, "not signed", path);
        }
        Ok(Exit::Holds)
    }
}

/// The default path of the signature of the manifest at `path`.
pub(super) fn signature_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}
