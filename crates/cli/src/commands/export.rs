//! `retrace export`

use std::path::PathBuf;

use retrace_files::{Silent, Wanted, hash_beneath, write_whole};
use retrace_manifest::{ExportError, Signed, bill_of_materials, checksum_list, model_signature, provenance};
use retrace_sign::Chain;
use retrace_spec::{Algorithm, Manifest, RelPath};
use serde_json::json;

use super::keys::{exposed, of_pem, signing_key};
use super::seal::inside;
use super::sign::signature_of;
use super::{Exit, Opened, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Write a manifest's facts in another tool's form
///
/// oms: a bundle of OpenSSF Model Signing 1.0, which `model_signing verify` accepts; covers every
/// sealed file and the manifest itself. slsa: the provenance of each step, an in-toto statement a
/// line, in DSSE envelopes if a key is given. cyclonedx: a machine-learning bill of materials, version
/// 1.6. sha256sums and b3sums: lists for `sha256sum --check` and `b3sum --check`, which say nothing of
/// files that were added. What needs SHA-256 needs a manifest that was sealed with `--sha256`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace export sha256sums release/manifest.yaml > SHA256SUMS
  retrace export oms release/manifest.yaml --key key.pem -o model.sig
  retrace export slsa release/manifest.yaml --step train-base --key key.pem
  retrace export cyclonedx release/manifest.yaml -o release.cdx.json")]
pub(crate) struct Export {
    /// The form
    format: Format,
    /// The manifest
    manifest: PathBuf,
    /// Where it goes [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The private key that signs, PEM; for oms, P-256, P-384 or P-521
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// For oms: the certificates that vouch for the key, PEM, the key's own first
    #[arg(long, value_name = "FILE", requires = "key")]
    certificates: Option<PathBuf>,
    /// For slsa: this step alone
    #[arg(long, value_name = "ID")]
    step: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Oms,
    Slsa,
    Cyclonedx,
    Sha256sums,
    B3sums,
}

impl Export {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let misplaced = |option: &str, form: &str| Failure::usage(format!("--{option} is for {form}"), "leave it out");
        if self.key.is_some() && !matches!(self.format, Format::Oms | Format::Slsa) {
            return Err(misplaced("key", "oms and slsa"));
        }
        if self.certificates.is_some() && self.format != Format::Oms {
            return Err(misplaced("certificates", "oms"));
        }
        if self.step.is_some() && self.format != Format::Slsa {
            return Err(misplaced("step", "slsa"));
        }
        let opened = open::<Manifest>(&self.manifest)?;
        let manifest = &opened.document;
        let text = match self.format {
            Format::Oms => self.oms(&opened, terminal)?,
            Format::Slsa => {
                let key = self.key.as_deref().map(|key| signing_key(key, terminal)).transpose()?;
                provenance(manifest, self.step.as_deref(), key.as_ref())?
            }
            Format::Cyclonedx => bill_of_materials(manifest)?,
            Format::Sha256sums => checksum_list(manifest, Algorithm::Sha256)?,
            Format::B3sums => checksum_list(manifest, Algorithm::Blake3)?,
        };
        let result = json!({
            "key_exposed": self.key.as_deref().and_then(exposed),
            "output": self.output.as_ref().map(|output| output.display().to_string()),
            "root": manifest.root,
            "text": if self.output.is_none() { Some(&text) } else { None },
        });
        if let Some(output) = &self.output {
            write_whole(output, text.as_bytes())?;
        }
        match &self.output {
            Some(output) => terminal.result("export/1", &result, |out| writeln!(out, "{}", output.display()))?,
            None => terminal.data("export/1", &result, text.as_bytes())?,
        }
        if self.output.is_some() {
            let files = count(manifest.artifacts.len() as u64, "file");
            terminal.say(Tone::Good, "exported", format_args!("{files} of {}", manifest.name));
        }
        Ok(Exit::Holds)
    }

    fn oms(&self, opened: &Opened<Manifest>, terminal: &Terminal) -> Result<String, Failure> {
        let Some(key) = &self.key else {
            let help = "give --key FILE, a P-256, P-384 or P-521 key";
            return Err(Failure::usage("an OMS bundle is signed, and no key is given", help));
        };
        let key = signing_key(key, terminal)?;
        let chain = match &self.certificates {
            Some(path) => Some(of_pem(path, Chain::from_pem)?),
            None => None,
        };
        let Opened { document: manifest, root, path } = opened;
        // The manifest lies among the files, so that others count it as one.
        let wanted = Wanted { checksums: &[Algorithm::Sha256], ..Wanted::default() };
        let own = hash_beneath(root, path, wanted, &Silent)?;
        let sha256 = own.checksums.into_iter().next();
        let sha256 = sha256.ok_or_else(|| ExportError::NoSha256 { path: path.clone() })?;
        let beside = Signed { path: path.clone(), size: own.size, sha256 };
        let apart = [Some(signature_of(&self.manifest)), self.output.clone()];
        let apart: Vec<RelPath> = apart.into_iter().flatten().filter_map(|file| inside(root.path(), &file)).collect();
        Ok(model_signature(manifest, Some(beside), &apart, &key, chain.as_ref())?)
    }
}
