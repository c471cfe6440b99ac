//! Arguments for keys and certificates, for the verbs that sign or check signatures.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use retrace_files::{RegularFile, exposure};
use retrace_manifest::Trust;
use retrace_sign::{Identity, KeyError, PublicKey, Roots, SigningKey};
use retrace_spec::foreign::excerpt;
use retrace_spec::guard;

use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// No key or list of authorities is larger, so no more is read.
const MOST_BYTES: u64 = 8 << 20;

/// Whose signature is accepted.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Trusted {
    /// Check the signature with this public key (PEM)
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    pub(super) public_key: Option<PathBuf>,
    /// Check the signature of an OMS bundle: its certificate chain must end at one of these certificates
    /// (PEM) and be valid for code signing
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// Of all signers that the authorities of --trust vouch for, accept only this one: the certificate's
    /// subject (CN=alice,O=Example), an e-mail address, URI or DNS name among its alternative names, or its
    /// key (sha256:…). The text must match exactly. If given several times, one match is enough. The
    /// identity of `model_signing` is such a name too, of a Sigstore certificate
    // clap lets one of two exclusive arguments be missing: so both are named.
    #[arg(long, value_name = "NAME", requires = "trust", conflicts_with = "public_key")]
    pub(super) identity: Vec<Identity>,
    /// Check that the certificates were valid on this day, such as 2026-03-01 [default: today]; a bundle
    /// does not prove when it was signed
    #[arg(long, value_name = "DAY", value_parser = day, requires = "trust", conflicts_with = "public_key")]
    pub(super) at: Option<u64>,
}

impl Trusted {
    /// Reads the key or the certificates, if any are given.
    pub(super) fn read(&self) -> Result<Option<Trust>, Failure> {
        if let Some(path) = &self.public_key {
            return Ok(Some(Trust::Key(public_key(path)?)));
        }
        let Some(path) = &self.trust else { return Ok(None) };
        let roots = of_pem(path, Roots::from_pem)?;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        Ok(Some(Trust::Roots { roots, at: self.at.unwrap_or_else(now), identities: self.identity.clone() }))
    }
}

/// The key that a signature is checked with.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    of_pem(path, PublicKey::from_pem)
}

/// The key that signs. Prints a warning if other users can read it.
pub(super) fn signing_key(path: &Path, terminal: &Terminal) -> Result<SigningKey, Failure> {
    let key = of_pem(path, SigningKey::from_pem)?;
    tell_of_exposure(path, terminal);
    Ok(key)
}

/// Prints a warning if others can access the secret in the file at `path`.
pub(super) fn tell_of_exposure(path: &Path, terminal: &Terminal) {
    if let Some(how) = exposed(path) {
        let file = path.display();
        let what =
            format_args!("{file}: {how}: keep it in a directory that only you can write, and run `chmod 600 {file}`");
        terminal.say(Tone::Bad, "exposed", what);
    }
}

/// How users other than its owner can access the secret in the file at `path`, if they can.
pub(super) fn exposed(path: &Path) -> Option<&'static str> {
    let path = path.canonicalize().ok()?;
    let directory = path.parent().and_then(|directory| directory.metadata().ok());
    let file = path.metadata().ok().filter(|file| file.is_file())?;
    exposure(&file, directory.as_ref())
}

/// The key, for display.
pub(super) fn name(key: &PublicKey) -> String {
    format!("{} key sha256:{}", key.kind(), key.hint().unwrap_or_default())
}

/// The signer, for display: all identities, unless there are many.
pub(super) fn listed(signer: &[Identity]) -> String {
    const MOST: usize = 6;
    // The key is last, because it is the least informative.
    let keys = signer.iter().filter(|identity| matches!(identity, Identity::Key(_)));
    let names = signer.iter().filter(|identity| !matches!(identity, Identity::Key(_)));
    let mut all: Vec<String> = names.take(MOST).map(|name| excerpt(&name.to_string()).into_owned()).collect();
    if signer.len() > MOST + 1 {
        all.push(format!("{} more", count((signer.len() - MOST - 1) as u64, "name")));
    }
    all.extend(keys.map(|key| format!("key {key}")));
    all.join(", ")
}

/// The content of the PEM file at `path`.
pub(super) fn of_pem<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, KeyError>) -> Result<T, Failure> {
    let text = RegularFile::open(path)?.text(MOST_BYTES)?;
    guard(|| parse(&text)).map_err(|e| refuse(path, &e))?.map_err(|e| refuse(path, &e))
}

fn refuse(path: &Path, error: &dyn Display) -> Failure {
    let help = "keys are PEM files; `(umask 077; openssl genpkey -algorithm ed25519 -out key.pem)` makes a private key, and \
                 `openssl pkey -in key.pem -pubout -out key.pub.pem` its public key";
    Failure::usage(format!("{}: {error}", path.display()), help)
}

/// The first second of a day, in seconds since 1970.
fn day(text: &str) -> Result<u64, String> {
    let refuse = || "give a day as YEAR-MONTH-DAY, not before 1970".to_owned();
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return Err(refuse()) };
    let parse = |text: &str| text.parse::<u64>().map_err(|_| refuse());
    let (year, month, day) = (parse(year)?, parse(month)?, parse(day)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return Err(refuse());
    }
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if day == 0 || day > lengths[month as usize - 1] {
        return Err(refuse());
    }
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let months: u64 = lengths[..month as usize - 1].iter().sum();
    Ok((years + months + day - 1) * 86_400)
}

#[cfg(test)]
mod tests {
    use super::day;

    /// From `date -u -d DAY +%s`.
    #[test]
    fn days_are_seconds_after_1970() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2026-03-01", 1_772_323_200),
            ("2100-03-01", 4_107_542_400),
            ("9999-12-31", 253_402_214_400),
        ] {
            assert_eq!(day(text), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2100-02-29",
            "2026-00-01",
            "2026-01-00",
            "1969-12-31",
            "10000-01-01",
            "2026-1-x",
        ] {
            assert!(day(text).is_err(), "{text}");
        }
    }
}
