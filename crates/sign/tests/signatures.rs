//! Keys and signatures compared with OpenSSL's, and every way to tamper with an envelope.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::path::PathBuf;

use proptest::prelude::*;
use retrace_sign::{Envelope, PublicKey, SignatureError, SigningKey};

const KINDS: [&str; 4] = ["ed25519", "p-256", "p-384", "p-521"];

fn data(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(data(name)).unwrap()
}

fn keys(kind: &str) -> (SigningKey, PublicKey) {
    let key = SigningKey::from_pem(&text(&format!("{kind}.key.pem"))).unwrap();
    (key, PublicKey::from_pem(&text(&format!("{kind}.pub.pem"))).unwrap())
}

#[test]
fn what_openssl_signed_holds_and_nothing_else() {
    let message = data("message");
    for kind in KINDS {
        let (key, public) = keys(kind);
        assert_eq!(key.public(), public);
        assert_eq!(public.to_pem().unwrap(), text(&format!("{kind}.pub.pem")));
        let signature = data(&format!("{kind}.sig"));
        public.verify(&message, &signature).unwrap();
        assert!(public.verify(b"another", &signature).is_err());
        assert!(public.verify(&message, &signature[..signature.len() - 1]).is_err());
        assert!(public.verify(&message, b"").is_err());
        for other in KINDS.into_iter().filter(|other| *other != kind) {
            assert!(keys(other).1.verify(&message, &signature).is_err(), "{kind} as {other}");
        }
        // Our signature is valid too, and is the same each time.
        assert_eq!(key.sign(&message), key.sign(&message));
        public.verify(&message, &key.sign(&message)).unwrap();
        assert!(!format!("{key:?}").contains("bytes"), "a secret is not shown");
    }
    // Ed25519 is deterministic, so the bytes equal OpenSSL's.
    assert_eq!(keys("ed25519").0.sign(&message), data("ed25519.sig"));
}

#[test]
fn what_is_no_key_is_refused_with_its_reason() {
    assert!(SigningKey::from_pem(&text("sec1.key.pem")).is_ok(), "parameters before the key");
    let refused = |text: &str| SigningKey::from_pem(text).unwrap_err().what;
    assert!(refused(&text("encrypted.key.pem")).contains("encrypted"));
    assert!(refused(&text("rsa.key.pem")).contains("no kind that signs here"));
    assert!(refused(&text("p-256.pub.pem")).contains("no PEM block"));
    assert!(refused("").contains("no PEM block"));
    let whole = text("p-256.key.pem");
    assert!(refused(&whole[..whole.len() - 9]).contains("cut off"));
    assert!(refused(&whole.replacen('M', "N", 1)).contains("no kind"));
    let refused = |text: &str| PublicKey::from_pem(text).unwrap_err().what;
    assert!(refused(&whole).contains("private key"));
    assert!(refused(&text("root.pem")).contains("no PEM block"));
}

/// Untrusted envelopes. Tested elsewhere: a flipped bit, an invalid type.
#[test]
fn an_envelope_is_one_thing_to_all_readers() {
    let (key, public) = keys("p-256");
    let good = serde_json::to_string(&Envelope::seal("text/x", b"payload".to_vec(), &key)).unwrap();
    let read = |text: &str| serde_json::from_str::<Envelope>(text);
    assert_eq!(read(&good).unwrap().check(&public), Ok(()));
    let twice = |field: &str, value: &str| {
        good.replacen(&format!("\"{field}\":"), &format!("\"{field}\":{value},\"{field}\":"), 1)
    };
    for (text, what) in [
        (twice("payload", "\"\""), "duplicate field"),
        (twice("payloadType", "\"text/y\""), "duplicate field"),
        (twice("signatures", "[]"), "duplicate field"),
        (twice("sig", "\"\""), "duplicate field"),
        (twice("keyid", "\"\""), "duplicate field"),
        (good.replacen("\"payload\":", "\"more\":1,\"payload\":", 1), "unknown field"),
        (good.replacen("\"payload\":\"cGF5bG9hZA==\"", "\"payload\":7", 1), "invalid type"),
        (good.replacen("\"payload\":\"cGF5bG9hZA==\"", "\"payload\":[112]", 1), "invalid type"),
        (good.replacen("\"text/x\"", "[\"text/x\"]", 1), "invalid type"),
        (good.replacen("cGF5bG9hZA==", "cGF5bG9hZB==", 1), "base64"),
        (good.replacen("cGF5bG9hZA==", "cGF5\\nbG9hZA==", 1), "base64"),
        (good.replacen("cGF5bG9hZA==", "cGF5bG9hZA==cGF5", 1), "base64"),
        (format!("{good}{good}"), "trailing"),
        (format!("[{good}]"), ""),
        ("[".repeat(100_000), ""),
    ] {
        let told = read(&text).unwrap_err().to_string();
        assert!(told.contains(what), "{text:.200}: {told}");
    }
    // The same bytes in the other alphabet, or without padding, are the same envelope.
    assert_eq!(read(&good.replacen("cGF5bG9hZA==", "cGF5bG9hZA", 1)).unwrap().check(&public), Ok(()));
}

/// Several parties may sign; one trusted signature is enough, at any position and whatever the key names say.
#[test]
fn names_of_keys_decide_nothing() {
    let (key, public) = keys("p-256");
    let (other, _) = keys("p-384");
    let seal = |key: &SigningKey| Envelope::seal("text/x", b"payload".to_vec(), key);
    let mut envelope = seal(&other);
    envelope.signatures[0].keyid = Some(public.hint().unwrap());
    assert_eq!(envelope.check(&public), Err(SignatureError::Wrong { kind: "P-256" }), "another's, under this name");
    let mut good = seal(&key).signatures.remove(0);
    good.keyid = Some("x".repeat(1 << 20));
    envelope.signatures.push(good.clone());
    assert_eq!(envelope.check(&public), Ok(()));
    envelope.signatures = vec![seal(&other).signatures.remove(0); 15];
    envelope.signatures.push(good.clone());
    assert_eq!(envelope.check(&public), Ok(()));
    envelope.signatures.insert(0, good);
    assert_eq!(envelope.check(&public), Err(SignatureError::Many { count: 17, most: 16 }));
}

/// Time and memory are proportional to the length, whatever the content.
#[test]
fn large_input_is_linear() {
    let begun = std::time::Instant::now();
    let (key, public) = keys("ed25519");
    let envelope = Envelope::seal("text/x", vec![b'x'; 8 << 20], &key);
    let text = serde_json::to_string(&envelope).unwrap();
    assert_eq!(serde_json::from_str::<Envelope>(&text).unwrap().check(&public), Ok(()));
    // 100,000 signatures are read, and not checked.
    let signature = r#"{"sig":"AAAA","keyid":"x"}"#;
    let many = vec![signature; 100_000].join(",");
    let text = format!(r#"{{"payload":"","payloadType":"x","signatures":[{many}]}}"#);
    let told = serde_json::from_str::<Envelope>(&text).unwrap().check(&public).unwrap_err().to_string();
    assert!(told.contains("100000 signatures"), "{told}");
    for text in [
        "-----BEGIN ".repeat(1 << 20),
        "-----BEGIN A-----\n-----END A-----\n".repeat(1 << 17),
        format!("-----BEGIN {}-----", "x".repeat(1 << 20)),
        format!("-----BEGIN {}-----", "x".repeat(1 << 15)),
        "x".repeat(10 << 20),
    ] {
        for told in [PublicKey::from_pem(&text).unwrap_err().what, SigningKey::from_pem(&text).unwrap_err().what] {
            assert!(told.len() < 300, "{}", told.len());
        }
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_flipped_bit_of_an_envelope_is_seen(payload in prop::collection::vec(any::<u8>(), 1..40), bit: prop::sample::Index, kind in 0usize..4) {
        let (key, public) = keys(KINDS[kind]);
        let envelope = Envelope::seal("text/x", payload, &key);
        prop_assert_eq!(envelope.check(&public), Ok(()));
        let json = serde_json::to_string(&envelope).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Envelope>(&json).unwrap(), &envelope);
        let flip = |bytes: &mut Vec<u8>| { let at = bit.index(bytes.len() * 8); bytes[at / 8] ^= 1 << (at % 8); };
        let mut other = envelope.clone();
        flip(&mut other.payload.0);
        prop_assert!(other.check(&public).is_err());
        let mut other = envelope.clone();
        flip(&mut other.signatures[0].sig.0);
        prop_assert!(other.check(&public).is_err());
        let mut other = envelope.clone();
        other.payload_type.push(' ');
        prop_assert!(other.check(&public).is_err());
        // Moving bytes between type and payload makes a different message.
        let mut other = envelope.clone();
        other.payload.0.insert(0, b'x');
        other.payload_type.pop();
        prop_assert!(other.check(&public).is_err());
        // Several signatures: one by the key is enough; without one, the envelope is refused.
        let mut other = envelope.clone();
        other.signatures.insert(0, Envelope::seal("text/y", vec![], &key).signatures.remove(0));
        prop_assert_eq!(other.check(&public), Ok(()));
        other.signatures.clear();
        prop_assert_eq!(other.check(&public), Err(SignatureError::None));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(text in any::<String>(), label in "(EC )?(PRIVATE|PUBLIC) KEY", body in "[A-Za-z0-9+/=\n]{0,90}") {
        let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let near = pem.replace('\n', &text);
        for text in [&text, &pem, &near] {
            let _ = SigningKey::from_pem(text);
            let _ = PublicKey::from_pem(text);
            let _ = serde_json::from_str::<Envelope>(text);
        }
    }
}
