//! `retrace export`

use std::path::PathBuf;

use retrace_files::{Silent, Wanted, WholeFile, hash_beneath, write_whole};
use retrace_manifest::{
    ExportError, Signed, Unfolded, Unknown, bill_of_materials, checksum_list, model_signature, provenance, unfold,
};
use retrace_sign::Chain;
use retrace_spec::{Algorithm, Manifest, RelPath};
use serde_json::json;

use super::keys::{exposed, of_pem, signing_key};
use super::seal::{TOOL, inside};
use super::sign::signature_of;
use super::{Exit, Opened, open, refuse_input};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Write a manifest in the format of another tool
///
/// oms: a bundle of OpenSSF Model Signing 1.0, which `model_signing verify` accepts; it covers every
/// sealed file and the manifest itself. slsa: the provenance of each step, one in-toto statement per
/// line, in DSSE envelopes if a key is given. cyclonedx: a machine-learning bill of materials, version
/// 1.6. sha256sums and b3sums: lists for `sha256sum --check` and `b3sum --check`, which do not detect
/// added files. oms and sha256sums need a manifest sealed with `--sha256`. The export includes
/// the parts of the release.
///
/// The export contains only what the manifest's root covers, and the release's name. So the provenance
/// names no builder: anyone could write any builder into a manifest.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace export sha256sums release/manifest.yaml > SHA256SUMS
  retrace export oms release/manifest.yaml --key key.pem -o model.sig
  retrace export slsa release/manifest.yaml --step train-base --key key.pem
  retrace export cyclonedx release/manifest.yaml -o release.cdx.json")]
pub(crate) struct Export {
    /// The format
    format: Format,
    /// The manifest
    manifest: PathBuf,
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The private key to sign with, as PEM; for oms P-256, P-384 or P-521
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// For oms: the certificate chain of the key, as PEM, the key's own certificate first
    #[arg(long, value_name = "FILE", requires = "key")]
    certificates: Option<PathBuf>,
    /// For slsa: only this step
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
        let misplaced =
            |option: &str, form: &str| Failure::usage(format!("--{option} is only for {form}"), "leave it out");
        if self.key.is_some() && !matches!(self.format, Format::Oms | Format::Slsa) {
            return Err(misplaced("key", "oms and slsa"));
        }
        if self.certificates.is_some() && self.format != Format::Oms {
            return Err(misplaced("certificates", "oms"));
        }
        if self.step.is_some() && self.format != Format::Slsa {
            return Err(misplaced("step", "slsa"));
        }
        if let Some(output) = &self.output {
            refuse_input(output, &[&self.manifest])?;
        }
        let mut opened = open::<Manifest>(&self.manifest)?;
        // Including the content of its parts: without them the list would be incomplete.
        if let Some(Unfolded { manifest, unknown }) = unfold(&opened.document, opened.root.path()) {
            if let Some(Unknown { at, why }) = unknown.first() {
                let help = "`retrace verify` says which file of the part is missing or changed; or export a manifest without parts";
                return Err(Failure::usage(format!("{at} cannot be exported: {why}"), help));
            }
            opened.document = manifest;
        }
        let manifest = &opened.document;
        let mut text = Vec::new();
        match (self.format, &self.output) {
            (Format::Oms, _) => text = self.oms(&opened, terminal)?.into_bytes(),
            (Format::Slsa, _) => {
                let key = self.key.as_deref().map(|key| signing_key(key, terminal)).transpose()?;
                text = provenance(manifest, self.step.as_deref(), key.as_ref())?.into_bytes();
            }
            // Many times as long as the manifest, so it is held in memory only if necessary.
            (Format::Cyclonedx, Some(output)) => {
                let mut file = WholeFile::create(output)?;
                bill_of_materials(manifest, TOOL, &mut file)?;
                file.commit()?;
            }
            (Format::Cyclonedx, None) => bill_of_materials(manifest, TOOL, &mut text)?,
            (Format::Sha256sums, _) => text = checksum_list(manifest, Algorithm::Sha256)?.into_bytes(),
            (Format::B3sums, _) => text = checksum_list(manifest, Algorithm::Blake3)?.into_bytes(),
        }
        if let Some(output) = self.output.as_ref().filter(|_| self.format != Format::Cyclonedx) {
            write_whole(output, &text)?;
        }
        let told = self.output.is_none().then(|| String::from_utf8_lossy(&text));
        let result = json!({
            "key_exposed": self.key.as_deref().and_then(exposed),
            "output": self.output.as_ref().map(|output| output.display().to_string()),
            "root": manifest.root,
            "text": told,
        });
        match &self.output {
            Some(output) => terminal.result("export/1", &result, |out| writeln!(out, "{}", output.display()))?,
            None => terminal.data("export/1", &result, &text)?,
        }
        if self.output.is_some() {
            let files = count(manifest.artifacts.len() as u64, "file");
            terminal.say(Tone::Good, "exported", format_args!("{files} of {}", manifest.name));
        }
        Ok(Exit::Holds)
    }

    fn oms(&self, opened: &Opened<Manifest>, terminal: &Terminal) -> Result<String, Failure> {
        let Some(key) = &self.key else {
            let help = "give a P-256, P-384 or P-521 key with --key FILE";
            return Err(Failure::usage("an OMS bundle needs a key to sign with", help));
        };
        let key = signing_key(key, terminal)?;
        let chain = match &self.certificates {
            Some(path) => Some(of_pem(path, Chain::from_pem)?),
            None => None,
        };
        let Opened { document: manifest, root, path } = opened;
        // The manifest is among the files, so other tools count it as one.
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
