//! Keys and signatures against OpenSSL's, and every way to tamper with an envelope.

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
        // Ours holds too, and is the same each time.
        assert_eq!(key.sign(&message), key.sign(&message));
        public.verify(&message, &key.sign(&message)).unwrap();
        assert!(!format!("{key:?}").contains("bytes"), "a secret is not shown");
    }
    // Ed25519 leaves no choice, so that the bytes are OpenSSL's.
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
        // What moves between type and payload is another message.
        let mut other = envelope.clone();
        other.payload.0.insert(0, b'x');
        other.payload_type.pop();
        prop_assert!(other.check(&public).is_err());
        // Several signatures: one by the key is enough, none is none.
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
