//! Chains of certificates that OpenSSL made (`data/make.sh`), each with a single defect.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::path::PathBuf;

use proptest::prelude::*;
use retrace_sign::{Base64, CertificateError, Chain, Identity, PublicKey, Roots, SigningKey};

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
    // Trusted itself, or directly through its authority.
    assert_eq!(verdict(&["signer"], "signer", NOW), Ok(key.clone()));
    assert_eq!(verdict(&["signer"], "intermediate", NOW), Ok(key.clone()));
    // An authority for code signing among other uses; and RSA of 8192 bits, the maximum that is read.
    assert_eq!(verdict(&["by-serves-code", "serves-code"], "root", NOW), Ok(key.clone()));
    assert_eq!(verdict(&["by-large"], "large", NOW), Ok(key.clone()));
    // A certificate that has expired since was valid at that time.
    assert_eq!(verdict(&["expired", "intermediate"], "root", 1_737_000_000), Ok(key));
}

#[test]
fn every_other_chain_is_refused_with_its_reason() {
    let table: [(&[&str], &str, u64, &str); 17] = [
        (&["signer"], "root", NOW, "does not lead to a trusted root"),
        (&["signer", "intermediate"], "other-root", NOW, "does not lead to a trusted root"),
        // The complete chain exists, but its root is not trusted.
        (&["signer", "intermediate", "root"], "other-root", NOW, "does not lead to a trusted root"),
        (&["signer", "impostor"], "root", NOW, "does not lead to a trusted root"),
        (&["expired", "intermediate"], "root", NOW, "valid from 2025-01-01"),
        (&["signer", "intermediate"], "root", 1_700_000_000, "not on 2023-11-14"),
        (&["signer", "intermediate"], "root", 4_000_000_000, "valid from"),
        (&["signer", "intermediate"], "root", u64::MAX, "valid from"),
        (&["server", "intermediate"], "root", NOW, "does not allow code signing"),
        (&["encipherer", "intermediate"], "root", NOW, "does not allow signatures"),
        (&["unsaid", "intermediate"], "root", NOW, "does not state that it is for signing"),
        (&["critical", "intermediate"], "root", NOW, "unknown critical extension: 1.2.3.4"),
        (&["by-no-authority", "no-authority"], "root", NOW, "not a certificate authority"),
        (&["too-deep", "second", "intermediate"], "root", NOW, "a chain of this length"),
        (&["by-serves", "serves"], "root", NOW, "does not allow to issue certificates"),
        (&["by-constrained", "constrained"], "root", NOW, "name constraints"),
        // 1024 bits of RSA.
        (&["by-weak"], "weak", NOW, "does not lead to a trusted root"),
    ];
    for (names, root, at, reason) in table {
        let told = verdict(names, root, at).unwrap_err().to_string();
        assert!(told.contains(reason), "{names:?} with {root} at {at}: {told}");
    }
    // The root itself certifies others; it does not sign releases.
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

fn identities(name: &str) -> Vec<Identity> {
    Chain::from_pem(&pem(&[name])).unwrap().identities().unwrap()
}

/// The output of `openssl x509 -subject -nameopt RFC2253` and `-ext subjectAltName` for the certificates.
#[test]
fn a_signers_names_are_those_of_his_certificate() {
    let key = |name: &str| Identity::of(&PublicKey::from_pem(&pem(&[name])).unwrap()).unwrap();
    let parse = |text: &str| text.parse::<Identity>().unwrap();
    assert_eq!(identities("signer"), [key("p-256.pub"), parse("CN=signer,O=retrace test")]);
    let names = ["CN=named,O=retrace test", "alice@example.org", "https://example.org/alice", "alice.example.org"];
    let named: Vec<Identity> = std::iter::once(key("p-256.pub")).chain(names.map(parse)).collect();
    assert_eq!(identities("named"), named);
    // Not a name that matches only in part, in another case, or as a pattern.
    for other in [
        "CN=named",
        "cn=named,o=retrace test",
        "CN=named, O=retrace test",
        "O=retrace test,CN=named",
        "alice@example.or",
        "Alice@example.org",
        "*@example.org",
        "https://example.org/alice/",
        "https://example.org/",
        "example.org",
        "*.example.org",
        "192.0.2.1",
        "bob@example.org",
    ] {
        assert!(!named.contains(&parse(other)), "{other}");
    }
}

/// A URI, or a DNS name, that looks like another's key, subject or mail address is not accepted for that identity.
#[test]
fn a_name_of_another_kind_is_not_taken_for_a_signers() {
    let signers: Vec<Identity> = ["signer", "named"].into_iter().flat_map(identities).collect();
    for impostor in ["lookalike", "comma"] {
        for name in identities(impostor) {
            assert!(!signers.contains(&name), "{impostor} passes for {name}");
        }
    }
    assert_eq!(identities("comma")[1].to_string(), r"CN=signer\,O=retrace test,O=other");
    assert_eq!(identities("lookalike").len(), 2, "the rest is no name of its kind: {:?}", identities("lookalike"));
}

/// An element of DER (X.690): its tag, its length and its content.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = value.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len())..];
    let mut bytes = vec![tag];
    match value.len() {
        short @ 0..128 => bytes.push(u8::try_from(short).unwrap()),
        _ => {
            bytes.push(0x80 | u8::try_from(significant.len()).unwrap());
            bytes.extend(significant);
        }
    }
    bytes.extend(value);
    bytes
}

const SEQUENCE: u8 = 0x30;
const ED25519: [u8; 7] = [0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
/// sha256WithRSAEncryption and rsaEncryption, with their NULL.
const SHA256_RSA: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11, 5, 0];
const RSA: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];

fn name(of: &str) -> Vec<u8> {
    der(SEQUENCE, &[&der(0x31, &[&der(SEQUENCE, &[&[6, 3, 0x55, 4, 3], &der(0x0c, &[of.as_bytes()])])])])
}

fn edwards() -> SigningKey {
    SigningKey::from_pem(&pem(&["ed25519.key"])).unwrap()
}

/// The SubjectPublicKeyInfo of our Ed25519 key.
fn edwards_info() -> Vec<u8> {
    let text: String = pem(&["ed25519.pub"]).lines().filter(|line| !line.starts_with('-')).collect();
    serde_json::from_str::<Base64>(&format!("{text:?}")).unwrap().0
}

/// That of an RSA key with this many bits, all of them ones, and this exponent.
fn rsa_info(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let modulus = [&[0][..], &vec![0xff; bits / 8]].concat();
    let key = der(SEQUENCE, &[&der(2, &[&modulus]), &der(2, &[exponent])]);
    der(SEQUENCE, &[&RSA, &der(3, &[&[0], &key])])
}

/// A certificate made by hand, with these extensions, with the issuer `issuer`: signed with our Ed25519 key, or with
/// invalid bytes of RSA's length.
fn certificate(subject: &str, issuer: &str, info: &[u8], extensions: &[&[u8]], rsa: Option<usize>) -> Vec<u8> {
    let algorithm = if rsa.is_some() { &SHA256_RSA[..] } else { &ED25519 };
    let time = |year: &str| der(0x17, &[format!("{year}0101000000Z").as_bytes()]);
    let validity = der(SEQUENCE, &[&time("25"), &time("45")]);
    let extensions = der(0xa3, &[&der(SEQUENCE, extensions)]);
    let version = [0xa0, 3, 2, 1, 2];
    let parts = [&version[..], &[2, 1, 1], algorithm, &name(issuer), &validity, &name(subject), info, &extensions];
    let signed = der(SEQUENCE, &parts);
    let signature = rsa.map_or_else(|| edwards().sign(&signed), |bits| vec![0x55; bits / 8]);
    der(SEQUENCE, &[&signed, algorithm, &der(3, &[&[0], &signature])])
}

/// An extension: the last byte of its identifier under 2.5.29, and its value.
fn extension(id: u8, value: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[&[6, 3, 0x55, 0x1d, id], &der(4, &[value])])
}

fn authority() -> Vec<u8> {
    extension(19, &[0x30, 3, 1, 1, 0xff])
}

/// Digital signature.
fn signing() -> Vec<u8> {
    extension(15, &[3, 2, 7, 0x80])
}

fn roots(der: &[u8]) -> Roots {
    let text = serde_json::to_string(&Base64(der.to_vec())).unwrap();
    let text = text.trim_matches('"').as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    Roots::from_pem(&format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", text.collect::<String>()))
        .unwrap()
}

#[test]
fn many_names_are_looked_through_and_too_many_refused() {
    let root = certificate("root", "root", &edwards_info(), &[&authority()], None);
    let leaf = |names: usize| {
        let names: Vec<Vec<u8>> = (0..names).map(|at| der(0x82, &[format!("{at:x}").as_bytes()])).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        certificate("leaf", "root", &edwards_info(), &[&signing(), &extension(17, &der(SEQUENCE, &names))], None)
    };
    let many = leaf(10_000);
    let chain = Chain::from_der([many.as_slice()]).unwrap();
    chain.verify(&roots(&root), NOW).unwrap();
    let identities = chain.identities().unwrap();
    assert_eq!(identities.len(), 10_002);
    assert!(identities.contains(&Identity::Dns("270f".to_owned())));
    let refused = Chain::from_der([leaf(64_000).as_slice()]).unwrap_err().to_string();
    assert!(refused.contains("64 KiB"), "{refused}");
    // Repeated, or not a list of names.
    let twice = extension(17, &der(SEQUENCE, &[&der(0x82, &[b"a"])]));
    for names in [vec![twice.clone(), twice], vec![extension(17, b"\x05\x00")]] {
        let extensions: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let leaf = certificate("leaf", "root", &edwards_info(), &extensions, None);
        assert!(Chain::from_der([leaf.as_slice()]).unwrap().identities().is_err());
    }
    // Only a part of a long name is shown.
    let long = "x".repeat(50_000);
    let leaf = certificate(&long, "nobody", &edwards_info(), &[&signing()], None);
    let told = Chain::from_der([leaf.as_slice()]).unwrap().verify(&roots(&root), NOW).unwrap_err().to_string();
    assert!(told.len() < 500, "{}", told.len());
}

/// The author of a chain chooses how much arithmetic checking it takes, within limits.
#[test]
fn large_keys_and_exponents_cost_little() {
    let begun = std::time::Instant::now();
    let root = certificate("root", "root", &edwards_info(), &[&authority()], None);
    let odd = [1, 0, 1].as_slice();
    let even = [0xfe; 1000].as_slice();
    for (bits, exponent) in [(65_536, odd), (16_384, odd), (8192, even), (8192, odd)] {
        let leaf = certificate("leaf", "middle", &edwards_info(), &[&signing()], Some(bits));
        let middle = certificate("middle", "root", &rsa_info(bits, exponent), &[&authority()], None);
        let chain: Vec<&[u8]> =
            std::iter::once(leaf.as_slice()).chain(std::iter::repeat_n(middle.as_slice(), 9)).collect();
        match Chain::from_der(chain) {
            Ok(chain) => assert!(matches!(chain.verify(&roots(&root), NOW), Err(CertificateError::Untrusted { .. }))),
            Err(error) => assert!(error.to_string().contains("64 KiB"), "{error}"),
        }
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn more_certificates_than_any_chain_has_are_refused() {
    let signer = pem(&["signer"]);
    let told = Chain::from_pem(&signer.repeat(11)).unwrap_err().to_string();
    assert!(told.contains("more than 10"), "{told}");
    let big = signer.repeat(10_000);
    assert!(Chain::from_pem(&big).is_err());
    assert!(Roots::from_pem(&big).unwrap_err().to_string().contains("bytes"));
    let der = Chain::from_pem(&signer).unwrap().to_der().unwrap();
    assert!(Chain::from_der(std::iter::repeat_n(der[0].as_slice(), 10_000)).is_err());
}

proptest! {
    /// Whichever bit of the signer's certificate is flipped, it is no longer certified.
    #[test]
    fn any_flipped_bit_of_a_certificate_is_seen(bit: prop::sample::Index) {
        let mut der = Chain::from_pem(&pem(&["signer", "intermediate"])).unwrap().to_der().unwrap();
        let at = bit.index(der[0].len() * 8);
        der[0][at / 8] ^= 1 << (at % 8);
        let roots = Roots::from_pem(&pem(&["root"])).unwrap();
        if let Ok(chain) = Chain::from_der(der.iter().map(Vec::as_slice)) {
            let _ = chain.identities();
            prop_assert!(chain.verify(&roots, NOW).is_err());
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Chain::from_der([bytes.as_slice()]).map(|chain| chain.identities());
        // An alternative name with arbitrary content.
        let leaf = certificate("leaf", "root", &edwards_info(), &[&signing(), &extension(17, &bytes)], None);
        let _ = Chain::from_der([leaf.as_slice()]).unwrap().identities();
        let _ = Chain::from_pem(&String::from_utf8_lossy(&bytes));
    }
}
