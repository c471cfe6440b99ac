//! Chains of certificates that OpenSSL made (`data/make.sh`), each with its one defect.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::path::PathBuf;

use proptest::prelude::*;
use retrace_sign::{CertificateError, Chain, PublicKey, Roots};

/// The first of March 2026.
const NOW: u64 = 1_772_323_200;

fn pem(names: &[&str]) -> String {
    let read = |name: &&str| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("{name}.pem"));
        std::fs::read_to_string(path).unwrap()
    };
    names.iter().map(read).collect()
}

fn verdict(names: &[&str], roots: &str, at: u64) -> Result<PublicKey, CertificateError> {
    Chain::from_pem(&pem(names)).unwrap().verify(&Roots::from_pem(&pem(&[roots])).unwrap(), at)
}

#[test]
fn a_chain_that_leads_to_the_root_gives_the_signers_key() {
    let key = PublicKey::from_pem(&pem(&["p-256.pub"])).unwrap();
    // Through an intermediate with an elliptic key that an RSA root signed; in either order.
    assert_eq!(verdict(&["signer", "intermediate"], "root", NOW), Ok(key.clone()));
    assert_eq!(verdict(&["signer", "root", "intermediate"], "root", NOW), Ok(key.clone()));
    let edwards = PublicKey::from_pem(&pem(&["ed25519.pub"])).unwrap();
    assert_eq!(verdict(&["signer-edwards"], "root", NOW), Ok(edwards));
    // Trusted itself, or through its own authority alone.
    assert_eq!(verdict(&["signer"], "signer", NOW), Ok(key.clone()));
    assert_eq!(verdict(&["signer"], "intermediate", NOW), Ok(key.clone()));
    // What had expired since was good then.
    assert_eq!(verdict(&["expired", "intermediate"], "root", 1_737_000_000), Ok(key));
}

#[test]
fn every_other_chain_is_refused_with_its_reason() {
    let table: [(&[&str], &str, u64, &str); 14] = [
        (&["signer"], "root", NOW, "no trusted root"),
        (&["signer", "intermediate"], "other-root", NOW, "no trusted root"),
        // The whole chain is there, but nobody trusts what it ends in.
        (&["signer", "intermediate", "root"], "other-root", NOW, "no trusted root"),
        (&["signer", "impostor"], "root", NOW, "no trusted root"),
        (&["expired", "intermediate"], "root", NOW, "valid from 2025-01-01"),
        (&["signer", "intermediate"], "root", 1_700_000_000, "not on 2023-11-14"),
        (&["signer", "intermediate"], "root", 4_000_000_000, "valid from"),
        (&["signer", "intermediate"], "root", u64::MAX, "valid from"),
        (&["server", "intermediate"], "root", NOW, "other uses than signing code"),
        (&["encipherer", "intermediate"], "root", NOW, "not for signatures"),
        (&["unsaid", "intermediate"], "root", NOW, "does not say that it is for signing"),
        (&["critical", "intermediate"], "root", NOW, "critical extension that is not known here: 1.2.3.4"),
        (&["by-no-authority", "no-authority"], "root", NOW, "is no authority's"),
        (&["too-deep", "second", "intermediate"], "root", NOW, "longer chain"),
    ];
    for (names, root, at, reason) in table {
        let told = verdict(names, root, at).unwrap_err().to_string();
        assert!(told.contains(reason), "{names:?} with {root} at {at}: {told}");
    }
    // The root itself certifies; it does not sign releases.
    assert!(verdict(&["root"], "root", NOW).is_err());
}

#[test]
fn what_is_no_certificate_is_refused() {
    let der = Chain::from_pem(&pem(&["signer", "intermediate"])).unwrap().to_der().unwrap();
    assert_eq!(Chain::from_der([]), Err(CertificateError::Empty));
    assert_eq!(Chain::from_der(der.iter().map(Vec::as_slice)).unwrap().signer(), "CN=signer,O=retrace test");
    for length in 0..der[1].len() {
        let cut = [der[0].as_slice(), &der[1][..length]];
        assert!(matches!(Chain::from_der(cut), Err(CertificateError::Form { at: 2, .. })), "{length}");
    }
    assert!(Chain::from_der(vec![der[0].as_slice(); 11]).is_err());
    assert!(Chain::from_pem("").is_err() && Roots::from_pem(&pem(&["p-256.pub"])).is_err());
}

proptest! {
    /// Whatever bit of the signer's certificate flips, it is no longer vouched for.
    #[test]
    fn any_flipped_bit_of_a_certificate_is_seen(bit: prop::sample::Index) {
        let mut der = Chain::from_pem(&pem(&["signer", "intermediate"])).unwrap().to_der().unwrap();
        let at = bit.index(der[0].len() * 8);
        der[0][at / 8] ^= 1 << (at % 8);
        let roots = Roots::from_pem(&pem(&["root"])).unwrap();
        if let Ok(chain) = Chain::from_der(der.iter().map(Vec::as_slice)) {
            prop_assert!(chain.verify(&roots, NOW).is_err());
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Chain::from_der([bytes.as_slice()]);
        let _ = Chain::from_pem(&String::from_utf8_lossy(&bytes));
    }
}
