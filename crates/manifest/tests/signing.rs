//! Signed manifests and OMS bundles: valid ones, and every way to tamper with them.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use retrace_files::{Silent, checksum};
use retrace_manifest::{
    Bundle, BundleError, BundlingError, ExportError, SealOptions, Trust, bill_of_materials, check_manifest,
    checksum_list, model_signature, provenance, seal, sign_manifest,
};
use retrace_sign::{Base64, Chain, Envelope, Identity, PublicKey, Roots, SigningKey};
use retrace_spec::manifest::{Artifact, ArtifactKind, GraphStep, Output, Reference, StepKind, Tensors};
use retrace_spec::{Algorithm, Digest, Document, Manifest};
use serde_json::{Value, json};

/// The first of March 2026.
const NOW: u64 = 1_772_323_200;

fn pem(names: &[&str]) -> String {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sign/tests/data");
    names.iter().map(|name| std::fs::read_to_string(data.join(format!("{name}.pem"))).unwrap()).collect()
}

fn key(kind: &str) -> SigningKey {
    SigningKey::from_pem(&pem(&[&format!("{kind}.key")])).unwrap()
}

fn trust(kind: &str) -> Trust {
    Trust::Key(PublicKey::from_pem(&pem(&[&format!("{kind}.pub")])).unwrap())
}

fn roots(name: &str, at: u64) -> Trust {
    pinned(name, at, &[])
}

fn pinned(name: &str, at: u64, identities: &[&str]) -> Trust {
    let identities = identities.iter().map(|text| text.parse().unwrap()).collect();
    Trust::Roots { roots: Roots::from_pem(&pem(&[name])).unwrap(), at, identities }
}

fn release(root: &Path) -> Manifest {
    std::fs::create_dir(root.join("sub")).unwrap();
    // In an order for which sorting by parts of paths differs from sorting by complete paths.
    for (name, bytes) in [("a.b", "1"), ("sub/a", ""), ("sub.txt", "22"), ("é", "three")] {
        std::fs::write(root.join(name), bytes).unwrap();
    }
    sealed(root, "m")
}

fn sealed(root: &Path, name: &str) -> Manifest {
    let options = SealOptions { name: name.to_owned(), tool: "t 1".to_owned(), sha256: true, ..SealOptions::default() };
    seal(root, &options, &Silent).unwrap()
}

#[test]
fn a_manifests_signature_is_of_its_root_and_name() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    for kind in ["ed25519", "p-256", "p-384", "p-521"] {
        let envelope = sign_manifest(&manifest, &key(kind)).unwrap();
        let Trust::Key(public) = trust(kind) else { unreachable!() };
        check_manifest(&manifest, &envelope, &public).unwrap();
        // As YAML or as JSON.
        let again = Manifest::parse(&serde_json::to_string(&manifest).unwrap(), "m.json").unwrap();
        check_manifest(&again, &envelope, &public).unwrap();
        let told = |manifest: &Manifest, envelope: &Envelope, key: &PublicKey| {
            check_manifest(manifest, envelope, key).unwrap_err().to_string()
        };
        let Trust::Key(other) = trust(if kind == "p-256" { "p-384" } else { "p-256" }) else { unreachable!() };
        assert!(told(&manifest, &envelope, &other).contains("another key"));
        assert!(told(&sealed(directory.path(), "n"), &envelope, &public).contains("name \"m\""));
        let mut cut = envelope.clone();
        cut.signatures.clear();
        assert!(told(&manifest, &cut, &public).contains("no signature"));
        // By the right key, but of another kind of statement.
        let of_other = |kind: &str, payload: &str| Envelope::seal(kind, payload.into(), &key("p-256"));
        const PAYLOAD: &str = "application/vnd.in-toto+json";
        let statement = String::from_utf8(envelope.payload.0.clone()).unwrap();
        let Trust::Key(public) = trust("p-256") else { unreachable!() };
        for (payload_type, payload) in [
            ("text/plain", "{}"),
            ("application/vnd.in-toto+json", "{}"),
            (
                "application/vnd.in-toto+json",
                r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x","predicate":{}}"#,
            ),
            (
                "application/vnd.in-toto+json",
                r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"urn:retrace:release:1","predicate":{}}"#,
            ),
            ("application/vnd.in-toto+json; x", &statement),
            ("APPLICATION/VND.IN-TOTO+JSON", &statement),
            // Two roots, of which another reader might use the first; other counts; an additional field.
            (PAYLOAD, &statement.replace("\"retraceRoot\"", "\"retraceRoot\":\"00\",\"retraceRoot\"")),
            (PAYLOAD, &statement.replace("\"artifacts\":4", "\"artifacts\":5")),
            (PAYLOAD, &statement.replace("\"artifacts\":4", "\"artifacts\":4,\"more\":1")),
            (PAYLOAD, &statement.replace("\"subject\":[", "\"subject\":[{\"digest\":{}},")),
            (PAYLOAD, &"[".repeat(100_000)),
            (PAYLOAD, &format!("{{{:?}:1}}", "x".repeat(100_000))),
        ] {
            assert_ne!((payload_type, payload), (PAYLOAD, statement.as_str()));
            let told = told(&manifest, &of_other(payload_type, payload), &public);
            assert!(told.contains("not one of a manifest") && told.len() < 500, "{payload:.500}: {told}");
        }
    }
    let envelope = sign_manifest(&manifest, &key("p-256")).unwrap();
    let Trust::Key(public) = trust("p-256") else { unreachable!() };
    std::fs::write(directory.path().join("a.b"), "2").unwrap();
    let told = check_manifest(&sealed(directory.path(), "m"), &envelope, &public).unwrap_err().to_string();
    assert!(told.contains("sealed again later") && told.contains(&manifest.root.to_string()), "{told}");
}

fn bundle_of(manifest: &Manifest, kind: &str, chain: Option<&str>) -> String {
    let chain = chain.map(|name| Chain::from_pem(&pem(&[name, "intermediate"])).unwrap());
    model_signature(manifest, None, &["model.sig".parse().unwrap()], &key(kind), chain.as_ref()).unwrap()
}

/// Each position of a value in a manifest, as JSON pointers.
fn places(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| places(value, &format!("{at}/{name}"))).collect()
        }
        Value::Array(items) => {
            (0..).zip(items).flat_map(|(k, value): (usize, _)| places(value, &format!("{at}/{k}"))).collect()
        }
        _ => vec![at.to_owned()],
    }
}

/// Field by field: a changed value is either detected by the signature, or is in an unsigned field, and then no export
/// contains it.
#[test]
fn every_field_is_signed_or_not_exported() {
    let sealed = Manifest::new(
        "small",
        "a program",
        vec!["left/out".parse().unwrap()],
        vec![Artifact {
            path: "model/a.safetensors".parse().unwrap(),
            kind: ArtifactKind::Checkpoint,
            size: 7,
            digest: Digest::of(b"1"),
            sha256: checksum(Algorithm::Sha256, b"1"),
            slices: vec![Digest::of(b"2")],
            tensors: Some(Box::new(Tensors {
                root: Digest::of(b"3"),
                digests: [("w".to_owned(), Digest::of(b"4"))].into(),
            })),
        }],
        vec![GraphStep {
            id: "train".to_owned(),
            kind: StepKind::Train,
            numerics: Some(1),
            config: Some("run.yaml".parse().unwrap()),
            inputs: vec![Reference { path: "run.yaml".parse().unwrap(), digest: Digest::of(b"5") }],
            outputs: vec![Output {
                path: "model/b".parse().unwrap(),
                kind: ArtifactKind::Log,
                digest: Digest::of(b"6"),
            }],
            incomplete: None,
        }],
    )
    .unwrap();
    let exported = |manifest: &Manifest| {
        let mut bill = Vec::new();
        bill_of_materials(manifest, "exporter 1", &mut bill).unwrap();
        let lists = [Algorithm::Blake3, Algorithm::Sha256].map(|algorithm| checksum_list(manifest, algorithm).unwrap());
        let provenance = provenance(manifest, None, Some(&key("ed25519"))).unwrap();
        [provenance, String::from_utf8(bill).unwrap(), bundle_of(manifest, "p-256", None), lists.concat()]
    };
    let (key, public) = (key("ed25519"), PublicKey::from_pem(&pem(&["ed25519.pub"])).unwrap());
    let signature = sign_manifest(&sealed, &key).unwrap();
    let json = serde_json::to_value(&sealed).unwrap();
    let mut unsigned = Vec::new();
    let places = places(&json, "");
    assert!(places.len() > 20, "{places:?}");
    for place in places {
        let mut changed = json.clone();
        let value = changed.pointer_mut(&place).unwrap();
        *value = match &*value {
            Value::Number(number) => json!(number.as_u64().unwrap() + 1),
            Value::String(text) if text == "checkpoint" || text == "log" => json!("other"),
            Value::String(text) if text == "train" && place.ends_with("kind") => json!("eval"),
            Value::String(text) if text.starts_with("b3:") => json!(Digest::of(text.as_bytes())),
            Value::String(text) if text.starts_with("sha256:") => json!(checksum(Algorithm::Sha256, b"other")),
            Value::String(text) => json!(format!("{text}x")),
            other => panic!("{place}: {other}"),
        };
        let Ok(changed) = Manifest::parse(&changed.to_string(), "m") else { continue };
        if check_manifest(&changed, &signature, &public).is_err() {
            continue;
        }
        assert_eq!(exported(&changed), exported(&sealed), "{place} is not signed, and exported");
        unsigned.push(place);
    }
    // As the help of `retrace sign` says.
    assert_eq!(unsigned, ["/tool"]);
}

#[test]
fn a_bundle_says_what_was_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    for kind in ["p-256", "p-384", "p-521"] {
        let text = bundle_of(&manifest, kind, None);
        assert_eq!(text, bundle_of(&manifest, kind, None), "the same input, the same bytes");
        let bundle = Bundle::parse("model.sig", &text).unwrap();
        let listed: Vec<_> = bundle.files.iter().map(|f| (f.path.clone(), f.size, f.checksums.clone())).collect();
        let sealed = manifest.artifacts.iter();
        let sealed: Vec<_> = sealed.map(|a| (a.path.clone(), Some(a.size), vec![a.sha256.unwrap()])).collect();
        assert_eq!(listed, sealed);
        assert!(bundle.ignored.iter().any(|path| path.as_str() == "model.sig"));
        bundle.check(&trust(kind)).unwrap();
        assert!(matches!(bundle.check(&trust("ed25519")), Err(BundleError::Hint { .. })));
        assert_eq!(bundle.check(&roots("root", NOW)), Err(BundleError::NoCertificates));
    }
    let bundle = Bundle::parse("c", &bundle_of(&manifest, "p-256", Some("signer"))).unwrap();
    assert!(bundle.signer().contains("signer"));
    let key = Identity::of(&key("p-256").public()).unwrap();
    assert_eq!(bundle.check(&trust("p-256")).unwrap(), std::slice::from_ref(&key));
    assert_eq!(bundle.check(&roots("root", NOW)).unwrap(), [key, "CN=signer,O=retrace test".parse().unwrap()]);
    for refused in [roots("other-root", NOW), roots("root", 0), trust("p-384")] {
        assert!(bundle.check(&refused).is_err());
    }
    let bundle = Bundle::parse("c", &bundle_of(&manifest, "p-256", Some("server"))).unwrap();
    assert!(bundle.check(&roots("root", NOW)).unwrap_err().to_string().contains("does not allow code signing"));
}

/// A root certifies many signers; a name selects the expected one.
#[test]
fn a_bundles_signer_can_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    let key_of = |name: &str| Identity::of(&PublicKey::from_pem(&pem(&[name])).unwrap()).unwrap().to_string();
    let key = key_of("p-256.pub");
    let named = Bundle::parse("c", &bundle_of(&manifest, "p-256", Some("named"))).unwrap();
    let lookalike = Bundle::parse("c", &bundle_of(&manifest, "p-384", Some("lookalike"))).unwrap();
    let comma = Bundle::parse("c", &bundle_of(&manifest, "p-384", Some("comma"))).unwrap();
    for bundle in [&named, &lookalike, &comma] {
        bundle.check(&roots("root", NOW)).unwrap();
    }
    for name in ["CN=named,O=retrace test", "alice@example.org", "https://example.org/alice", "alice.example.org", &key]
    {
        named.check(&pinned("root", NOW, &[name])).unwrap();
        named.check(&pinned("root", NOW, &["nobody@example.org", name])).unwrap();
        for other in [&lookalike, &comma] {
            let told = other.check(&pinned("root", NOW, &[name, "CN=signer,O=retrace test"])).unwrap_err();
            assert!(matches!(told, BundleError::Identity { .. }), "{name}: {told}");
        }
    }
    for name in ["alice@example.or", "CN=named", "*.example.org", &key_of("p-384.pub")] {
        let told = named.check(&pinned("root", NOW, &[name])).unwrap_err().to_string();
        assert!(told.contains(name) && told.contains(&key), "{told}");
    }
    // The right name, but no trusted root certifies it.
    assert!(named.check(&pinned("other-root", NOW, &["alice@example.org"])).is_err());
}

/// With a key, the bundle's statements about certificates are not signed by a trusted party.
#[test]
fn a_certificate_that_nobody_checked_names_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    let good = bundle_of(&manifest, "p-256", None);
    let strangers: Value = serde_json::from_str(&bundle_of(&manifest, "p-384", Some("comma"))).unwrap();
    let text = outer(&good, |b| b["verificationMaterial"] = strangers["verificationMaterial"].clone());
    let signer = Bundle::parse("c", &text).unwrap().check(&trust("p-256")).unwrap();
    assert_eq!(signer, [Identity::of(&key("p-256").public()).unwrap()]);
    assert!(Bundle::parse("c", &text).unwrap().check(&roots("root", NOW)).is_err());
}

/// Bundles that are large, deep or full of certificates take time proportional to their length, and errors stay short.
#[test]
fn hostile_bundles_are_refused_soon() {
    let begun = std::time::Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    let certified = bundle_of(&manifest, "p-256", Some("signer"));
    let long = "x".repeat(1 << 20);
    let chain = |change: &dyn Fn(&mut Value)| {
        outer(&certified, |b| change(&mut b["verificationMaterial"]["x509CertificateChain"]["certificates"]))
    };
    let resource = |field: &str, to: &str| inner(&certified, |s| s["predicate"]["resources"][0][field] = json!(to));
    let bundles = [
        (chain(&|all| *all = json!(vec![all[0].clone(); 10_000])), "more than 10"),
        (chain(&|all| all[1]["rawBytes"] = json!(Base64(vec![0x30; 1 << 20]))), "64 KiB"),
        (outer(&certified, |b| b["dsseEnvelope"]["payload"] = json!("A".repeat(8 << 20))), "statement"),
        (outer(&certified, |b| b["dsseEnvelope"]["payloadType"] = json!(long)), "payload is"),
        (outer(&certified, |b| b["mediaType"] = json!(long)), "media type"),
        (outer(&certified, |b| b[&long] = json!(1)), "unknown field"),
        (resource("name", &format!("../{long}")), "path \"../x"),
        (resource("digest", &long), "is not a sha256"),
        (resource("algorithm", &long), "the others"),
        (inner(&certified, |s| s["predicate"]["serialization"]["hash_type"] = json!(long)), "hashes are"),
        (inner(&certified, |s| s["predicate"]["serialization"]["method"] = json!(long)), "method is"),
        (inner(&certified, |s| s["predicateType"] = json!(long)), "predicate is"),
        (inner(&certified, |s| s["_type"] = json!(long)), "not an in-toto statement"),
        (format!("{{\"mediaType\":{}", "[".repeat(1 << 20)), ""),
    ];
    for (text, what) in bundles {
        let told = Bundle::parse("model.sig", &text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(!told.is_empty() && told.contains(what) && told.len() < 600, "{what}: {told:.600}");
    }
    // As many ignored paths as listed files: not every pair is compared.
    let many = inner(&certified, |s| {
        let digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
        let resource = |at: usize| json!({"name": format!("d/{at}"), "digest": digest, "algorithm": "sha256"});
        s["predicate"]["resources"] = (0..50_000).map(resource).collect();
        let ignored = (0..50_000).map(|at| json!(format!("e/{at}"))).chain([json!("d"), json!("d/7"), json!("d/7/8")]);
        s["predicate"]["serialization"]["ignore_paths"] = ignored.collect();
        let all: Vec<u8> = hex(&json!(digest)).repeat(50_000);
        let sum = retrace_files::checksum(Algorithm::Sha256, &all).unwrap().hex();
        s["subject"][0]["digest"]["sha256"] = json!(sum);
    });
    let many = Bundle::parse("model.sig", &many).unwrap();
    let left_out: Vec<&str> =
        many.ignored.iter().map(|path| path.as_str()).filter(|path| path.starts_with('d')).collect();
    assert_eq!((many.ignored.len(), left_out), (50_005, vec!["d/7/8"]));
    let hint =
        outer(&bundle_of(&manifest, "p-256", None), |b| b["verificationMaterial"]["publicKey"]["hint"] = json!(long));
    let hint = Bundle::parse("model.sig", &hint).unwrap();
    assert!(hint.check(&trust("p-256")).unwrap_err().to_string().len() < 600 && hint.signer().len() < 600);
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// The reference tool signs git's files too, if requested: they are checked then.
#[test]
fn what_is_signed_is_not_left_out() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(".gitattributes"), "x").unwrap();
    let bundle = Bundle::parse("model.sig", &bundle_of(&release(directory.path()), "p-256", None)).unwrap();
    let ignored: Vec<&str> = bundle.ignored.iter().map(|path| path.as_str()).collect();
    assert!(bundle.files.iter().any(|file| file.path.as_str() == ".gitattributes"));
    assert!(!ignored.contains(&".gitattributes") && ignored.contains(&".git"), "{ignored:?}");
}

#[test]
fn what_oms_does_not_know_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut manifest = release(directory.path());
    let refused = |manifest: &Manifest, kind: &str, chain: Option<&Chain>| {
        model_signature(manifest, None, &[], &key(kind), chain).unwrap_err()
    };
    let kind = BundlingError::Kind { kind: "Ed25519" };
    assert_eq!(refused(&manifest, "ed25519", None), ExportError::Bundling(kind));
    let chain = Chain::from_pem(&pem(&["signer"])).unwrap();
    let other = refused(&manifest, "p-384", Some(&chain));
    assert!(matches!(other, ExportError::Bundling(BundlingError::Certificate { .. })));
    manifest.artifacts[1].sha256 = None;
    assert!(matches!(refused(&manifest, "p-256", None), ExportError::NoSha256 { .. }));
    manifest.artifacts.clear();
    assert_eq!(refused(&manifest, "p-256", None), ExportError::Bundling(BundlingError::Empty));
}

/// The bundle with its outer JSON changed.
fn outer(text: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    change(&mut value);
    value.to_string()
}

/// The bundle with its statement's text changed, and not signed again.
fn payload(text: &str, change: impl FnOnce(String) -> String) -> String {
    outer(text, |value| {
        let payload: Base64 = serde_json::from_value(value["dsseEnvelope"]["payload"].clone()).unwrap();
        let statement = change(String::from_utf8(payload.0).unwrap());
        value["dsseEnvelope"]["payload"] = json!(Base64(statement.into()));
    })
}

/// The same with its statement's values changed.
fn inner(text: &str, change: impl FnOnce(&mut Value)) -> String {
    payload(text, |text| {
        let mut statement: Value = serde_json::from_str(&text).unwrap();
        change(&mut statement);
        statement.to_string()
    })
}

fn remove(value: &mut Value, name: &str) {
    value.as_object_mut().unwrap().remove(name).unwrap();
}

/// Each of the specification's own vectors has a corresponding test here, and there are more.
#[test]
fn every_tampered_bundle_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    let good = bundle_of(&manifest, "p-256", None);
    let certified = bundle_of(&manifest, "p-256", Some("signer"));
    let material = |to: Value| outer(&good, |b| b["verificationMaterial"] = to);
    let raw = serde_json::from_str::<Value>(&certified).unwrap()["verificationMaterial"]["x509CertificateChain"]
        ["certificates"][0]
        .clone();
    let resource = |name: &str, to: Value| {
        let name = name.to_owned();
        inner(&good, move |s| s["predicate"]["resources"][0][name] = to)
    };
    // Not even read.
    let form: Vec<(String, &str)> = vec![
        (String::new(), "EOF"),
        (good[..good.len() / 2].to_owned(), "EOF"),
        (outer(&good, |b| remove(b, "mediaType")), "mediaType"),
        (outer(&good, |b| b["mediaType"] = json!("application/json")), "media type"),
        (outer(&good, |b| remove(b, "dsseEnvelope")), "dsseEnvelope"),
        (outer(&good, |b| remove(b, "verificationMaterial")), "verificationMaterial"),
        (outer(&good, |b| b["more"] = json!(1)), "more"),
        (good.replacen("\"mediaType\"", "\"mediaType\": \"x\", \"mediaType\"", 1), "duplicate"),
        (material(json!({})), "does not say who"),
        (material(json!({"publicKey": {}})), "does not name its key"),
        (material(json!({"certificate": raw})), "no entry of a public log"),
        (material(json!({"publicKey": {"hint": "a"}, "certificate": raw})), "several ways"),
        (material(json!({"x509CertificateChain": {"certificates": []}})), "no certificate"),
        (material(json!({"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}})), "certificate 1"),
        (material(json!({"x509CertificateChain": {"certificates": [{"rawBytes": "?"}]}})), "base64"),
        (outer(&good, |b| b["dsseEnvelope"]["signatures"] = json!([])), "0 signatures"),
        (
            outer(&good, |b| {
                let first = b["dsseEnvelope"]["signatures"][0].clone();
                b["dsseEnvelope"]["signatures"] = json!([first, first]);
            }),
            "2 signatures",
        ),
        (outer(&good, |b| b["dsseEnvelope"]["payload"] = json!("?")), "base64"),
        (outer(&good, |b| b["dsseEnvelope"]["payload"] = json!("AAAA")), "statement"),
        (outer(&good, |b| b["dsseEnvelope"]["payloadType"] = json!("text")), "payload is"),
        (inner(&good, |s| s["_type"] = json!("x")), "in-toto"),
        (inner(&good, |s| s["predicateType"] = json!("https://example.com/wrong-predicate/v1.0")), "wrong-predicate"),
        (inner(&good, |s| s["predicate"]["resources"] = json!([])), "no file"),
        (inner(&good, |s| s["predicate"]["more"] = json!(1)), "more"),
        (inner(&good, |s| s["subject"] = json!([])), "0 subjects"),
        (inner(&good, |s| s["subject"][0]["digest"]["sha256"] = json!("00")), "not the digest"),
        (
            payload(&good, |statement| statement.replace("\"digest\":{", "\"digest\":{\"sha256\":\"00\",")),
            "two digests by one algorithm",
        ),
        (inner(&good, |s| remove(&mut s["predicate"]["serialization"], "allow_symlinks")), "allow_symlinks"),
        (inner(&good, |s| s["predicate"]["serialization"]["method"] = json!("shards")), "shards"),
        (inner(&good, |s| s["predicate"]["serialization"]["method"] = json!("x")), "method"),
        (inner(&good, |s| s["predicate"]["serialization"]["shard_size"] = json!(9)), "shard size"),
        (inner(&good, |s| s["predicate"]["serialization"]["hash_type"] = json!("blake2b")), "blake2b"),
        (resource("algorithm", json!("blake3")), "the others"),
        (resource("digest", json!("00")), "is not a sha256"),
        (resource("digest", json!("0".repeat(64))), "not the digest"),
        (resource("name", json!("../out")), "`..`"),
        (resource("name", json!("/etc/passwd")), "/etc/passwd"),
        (resource("name", json!("sub/a")), "twice"),
    ];
    for (text, reason) in form {
        let told = Bundle::parse("model.sig", &text).unwrap_err().to_string();
        assert!(told.starts_with("model.sig") && told.contains(reason), "{reason}: {told}");
    }
    // Read, and not signed by the expected signer.
    let der: Value = raw;
    let signature: Vec<(String, Trust, &str)> = vec![
        (resource("size", json!(2)), trust("p-256"), "fits these bytes"),
        (inner(&good, |s| s["subject"][0]["name"] = json!("x")), trust("p-256"), "fits these bytes"),
        (
            inner(&good, |s| s["predicate"]["serialization"]["ignore_paths"] = json!(["a.b"])),
            trust("p-256"),
            "fits these bytes",
        ),
        (
            inner(&good, |s| {
                let digests: Vec<u8> = (1..4).flat_map(|at| hex(&s["predicate"]["resources"][at]["digest"])).collect();
                s["predicate"]["resources"].as_array_mut().unwrap().remove(0);
                let sum = retrace_files::checksum(Algorithm::Sha256, &digests).unwrap().hex();
                s["subject"][0]["digest"]["sha256"] = json!(sum);
            }),
            trust("p-256"),
            "fits these bytes",
        ),
        (
            outer(&good, |b| b["dsseEnvelope"]["signatures"][0]["sig"] = json!("AAAA")),
            trust("p-256"),
            "fits these bytes",
        ),
        (bundle_of(&manifest, "p-384", None), trust("p-256"), "was signed with the key"),
        (material(json!({"publicKey": {"hint": "00"}})), trust("p-256"), "was signed with the key 00"),
        // The hint of the right key on another's signature.
        (
            outer(&bundle_of(&manifest, "p-384", None), |b| {
                let good: Value = serde_json::from_str(&good).unwrap();
                b["verificationMaterial"] = good["verificationMaterial"].clone();
            }),
            trust("p-256"),
            "another key signed",
        ),
        (material(json!({"certificate": der, "tlogEntries": [{}]})), trust("p-256"), "public log"),
        (certified.clone(), roots("other-root", NOW), "does not lead to a trusted root"),
        (certified.clone(), roots("root", 4_000_000_000), "valid from"),
        (
            outer(&certified, |b| {
                let chain = &mut b["verificationMaterial"]["x509CertificateChain"]["certificates"];
                chain.as_array_mut().unwrap().swap(0, 1);
            }),
            roots("root", NOW),
            "does not allow signatures",
        ),
    ];
    for (text, trust, reason) in signature {
        let told = Bundle::parse("model.sig", &text).unwrap().check(&trust).unwrap_err().to_string();
        assert!(told.contains(reason), "{reason}: {told}");
    }
    // Allowed differences: a bundle without a hint or a name for its key, older spellings.
    for text in [
        material(json!({"publicKey": {"hint": ""}})),
        material(json!({"publicKey": {"rawBytes": "AAAA"}, "tlogEntries": []})),
        outer(&good, |b| remove(&mut b["dsseEnvelope"]["signatures"][0], "keyid")),
        outer(&good, |b| b["dsseEnvelope"]["signatures"][0]["keyid"] = Value::Null),
        outer(&good, |b| b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.3")),
    ] {
        Bundle::parse("model.sig", &text).unwrap().check(&trust("p-256")).unwrap();
    }
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The specification's own vectors, if a checkout of ossf/model-signing-spec is available.
#[test]
fn the_specifications_vectors_are_answered() {
    let Some(vectors) = std::env::var_os("OMS_SPEC").map(|spec| PathBuf::from(spec).join("test-vectors/v1.0")) else {
        println!("skipped: OMS_SPEC does not name a checkout of ossf/model-signing-spec");
        return;
    };
    let mut seen = 0;
    for (kind, right) in [("valid", true), ("invalid", false), ("invalid-payload", false)] {
        for file in std::fs::read_dir(vectors.join(kind)).unwrap() {
            let path = file.unwrap().path();
            let said = Bundle::parse("v", &std::fs::read_to_string(&path).unwrap());
            assert_eq!(said.is_ok(), right, "{}: {said:?}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 8);
}

#[test]
fn lists_are_what_their_tools_write() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    // Of "1", "22", "three" and the empty text, by `sha256sum`.
    let sha256 = "\
6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b  a.b
785f3ec7eb32f30b90cd0fcf3657d388b5ff4297f2f9716ff66e9b69c05ddd09  sub.txt
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  sub/a
8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f  é
";
    assert_eq!(checksum_list(&manifest, Algorithm::Sha256).unwrap(), sha256);
    let b3 = checksum_list(&manifest, Algorithm::Blake3).unwrap();
    // Of the empty text, from BLAKE3's own test vectors.
    assert!(b3.contains("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262  sub/a\n"));
    for (name, list) in [("SHA256SUMS", sha256), ("B3SUMS", &b3)] {
        let read = retrace_manifest::read_list(name, list).unwrap().files;
        assert_eq!(read.len(), manifest.artifacts.len());
    }
}

#[test]
fn provenance_and_bill_are_of_every_step_and_file() {
    let tour = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../manifests/tour/manifest.yaml");
    let manifest = Manifest::parse(&std::fs::read_to_string(tour).unwrap(), "tour").unwrap();
    let key = key("ed25519");
    let lines = provenance(&manifest, None, Some(&key)).unwrap();
    assert_eq!(lines.lines().count(), manifest.steps.len());
    for (line, step) in lines.lines().zip(&manifest.steps) {
        let envelope: Envelope = serde_json::from_str(line).unwrap();
        envelope.check(&key.public()).unwrap();
        let statement: Value = serde_json::from_slice(&envelope.payload.0).unwrap();
        assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
        let subjects = statement["subject"].as_array().unwrap();
        assert_eq!(subjects.len(), step.outputs.len());
        let read = &statement["predicate"]["buildDefinition"]["resolvedDependencies"];
        assert_eq!(read.as_array().unwrap().len(), step.inputs.len());
        assert_eq!(
            format!("b3:{}", subjects[0]["digest"]["blake3"].as_str().unwrap()),
            step.outputs[0].digest.to_string()
        );
    }
    let one = provenance(&manifest, Some(&manifest.steps[0].id), None).unwrap();
    assert!(one.starts_with("{\"_type\"") && one.lines().count() == 1);
    assert!(provenance(&manifest, Some("none"), None).is_err());

    let mut text = Vec::new();
    bill_of_materials(&manifest, "exporter 1", &mut text).unwrap();
    let bill: Value = serde_json::from_slice(&text).unwrap();
    let data = manifest
        .artifacts
        .iter()
        .filter(|a| matches!(a.kind, ArtifactKind::Shard | ArtifactKind::Tokens | ArtifactKind::Benchmark));
    let datasets = &bill["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"];
    assert_eq!(datasets.as_array().unwrap().len(), data.count());
    let mut files = 0;
    let mut references = std::collections::BTreeSet::new();
    for component in bill["components"].as_array().unwrap() {
        let inside = component["components"].as_array().map_or(&[][..], Vec::as_slice);
        for component in std::iter::once(component).chain(inside) {
            files += usize::from(component["hashes"].is_array());
            assert!(references.insert(component["bom-ref"].as_str().unwrap().to_owned()), "{component}");
        }
    }
    assert_eq!(files, manifest.artifacts.len());
    for dependency in bill["dependencies"].as_array().unwrap() {
        let on = dependency["dependsOn"].as_array().unwrap().iter().chain([&dependency["ref"]]);
        assert!(on.into_iter().all(|name| references.contains(name.as_str().unwrap())), "{dependency}");
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>(), at: prop::sample::Index, byte in any::<u8>()) {
        let _ = Bundle::parse("x", &text);
        let _ = Bundle::is_one(&text);
        // Similar to a valid one: one byte of it is changed.
        let mut near = GOOD.with(Clone::clone).into_bytes();
        let at = at.index(near.len());
        near[at] = byte;
        let near = String::from_utf8_lossy(&near);
        if let Ok(bundle) = Bundle::parse("x", &near)
            && bundle.check(&trust("p-256")).is_ok()
        {
            // Only unsigned content can have changed.
            let good = Bundle::parse("x", &GOOD.with(Clone::clone)).unwrap();
            prop_assert_eq!(bundle.files, good.files);
            prop_assert_eq!(bundle.ignored, good.ignored);
        }
    }
}

thread_local! {
    static GOOD: String = {
        let directory = tempfile::tempdir().unwrap();
        bundle_of(&release(directory.path()), "p-256", None)
    };
}
