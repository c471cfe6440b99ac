//! `sign`, `export` and what `verify` reports about signatures; and other tools on our output.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Ran, Release};

/// Keys and certificates that OpenSSL made.
fn key(name: &str) -> String {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sign/tests/data");
    data.join(format!("{name}.pem")).to_str().unwrap().to_owned()
}

fn sealed() -> Release {
    let release = Release::new();
    release.run(&["clean", "clean.yaml"]).code(0);
    release.run(&["seal", ".", "--sha256", "--name", "small"]).code(0);
    release
}

#[test]
fn a_signature_is_checked_when_asked_for_and_told_of_when_not() {
    let release = sealed();
    release.run(&["sign", "manifest.yaml", "--key", &key("ed25519.key")]).code(0).says(&["signed", "small", "Ed25519"]);
    let verify = |public: &str| release.run(&["verify", "manifest.yaml", "--public-key", &key(public)]);
    verify("ed25519.pub").code(0).says(&["signed", "name and root"]);
    release.run(&["verify", "manifest.yaml"]).code(0).says(&["unchecked", "--public-key"]);
    let wrong = |ran: Ran, what: &str| {
        let ran = ran.code(1);
        assert!(ran.out.starts_with("signature ") && ran.out.contains(what), "{}", ran.out);
    };
    wrong(verify("p-256.pub"), "another key");
    wrong(release.run(&["verify", "manifest.yaml", "--trust", &key("root")]), "give --public-key");
    // Sealed again by the person who changed a file; the old signature is not valid, and is not sealed.
    let signature = release.read("manifest.yaml.sig");
    release.write("notes.txt", "more");
    release.run(&["seal", ".", "--sha256", "--name", "small"]).code(0);
    wrong(verify("ed25519.pub"), "sealed again later");
    for (bytes, what) in
        [(&signature[..40], "not a signature"), (b"".as_slice(), "not a signature"), (b"{}", "not a signature")]
    {
        release.write("manifest.yaml.sig", bytes);
        wrong(verify("ed25519.pub"), what);
    }
    std::fs::remove_file(release.path("manifest.yaml.sig")).unwrap();
    wrong(verify("ed25519.pub"), "no such file");
    // In another place, and as JSON.
    let sig = ["--signature", "signatures/one"];
    std::fs::create_dir(release.path("signatures")).unwrap();
    release.run(&["sign", "manifest.yaml", "--key", &key("p-521.key"), "-o", sig[1]]).code(0);
    let public = key("p-521.pub");
    let arguments = [&["verify", "manifest.yaml", "--json", "--public-key", &public][..], &sig].concat();
    let told = release.run(&arguments).code(0).json("verify/1");
    assert_eq!(told["signatures"][0]["holds"], true);
}

/// The name of the program that sealed a release is not signed, so no export contains it.
#[test]
fn what_is_not_signed_is_exported_nowhere() {
    let release = sealed();
    release.run(&["sign", "manifest.yaml", "--key", &key("ed25519.key")]).code(0);
    let manifest = String::from_utf8(release.read("manifest.yaml")).unwrap();
    let tool = manifest.lines().find(|line| line.starts_with("tool: ")).unwrap();
    release.write("manifest.yaml", manifest.replace(tool, "tool: somebody-else 9.9"));
    release.run(&["verify", "manifest.yaml", "--public-key", &key("ed25519.pub")]).code(0);
    for form in ["slsa", "cyclonedx", "sha256sums", "b3sums"] {
        let text = release.run(&["export", form, "manifest.yaml"]).code(0).out;
        assert!(!text.contains("somebody"), "{form}: {text}");
    }
    let help = release.run(&["sign", "--help"]).code(0).out;
    assert!(help.contains("`tool`"), "{help}");
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let release = sealed();
    for name in ["encrypted.key", "rsa.key", "ed25519.pub"] {
        release.run(&["sign", "manifest.yaml", "--key", &key(name)]).code(2).says(&[name, "openssl genpkey"]);
    }
    release.run(&["verify", "manifest.yaml", "--public-key", &key("p-256.key")]).code(2).says(&["private key"]);
    release.write("own.pem", std::fs::read(key("p-256.key")).unwrap());
    for over in ["own.pem", "manifest.yaml"] {
        let before = release.read(over);
        let ran = release.run(&["sign", "manifest.yaml", "--key", "own.pem", "-o", over]);
        ran.code(2).says(&["would be written over"]);
        assert_eq!(release.read(over), before);
    }
    release.run(&["export", "oms", "manifest.yaml"]).code(2).says(&["--key"]);
    release.run(&["export", "oms", "manifest.yaml", "--key", &key("ed25519.key")]).code(2).says(&["P-256", "genpkey"]);
    release.run(&["export", "b3sums", "manifest.yaml", "--key", &key("p-256.key")]).code(2).says(&["oms and slsa"]);
    let chain = key("signer");
    let oms =
        |kind: &str| release.run(&["export", "oms", "manifest.yaml", "--key", &key(kind), "--certificates", &chain]);
    oms("p-256.key").code(0);
    oms("p-384.key").code(2).says(&["does not belong to the signing key"]);
    release.run(&["seal", ".", "-o", "plain.json"]).code(0);
    release.run(&["export", "sha256sums", "plain.json"]).code(2).says(&["seal --sha256"]);
}

#[test]
fn a_bundle_is_verified_like_a_manifest() {
    let release = sealed();
    let oms = ["export", "oms", "manifest.yaml", "--key", &key("p-256.key"), "-o", "model.sig"];
    release.run(&oms).code(0);
    let public = ["--public-key", &key("p-256.pub")];
    let verify = |first: &[&str]| release.run(&[&["verify"], first, &public].concat());
    verify(&["model.sig"]).code(0).says(&["as signed", "the bundle, by key"]);
    release.run(&["verify", "model.sig"]).code(2).says(&["--public-key"]);
    // Beside a manifest: its files are checked in the same pass, and it signs the manifest too.
    verify(&["manifest.yaml", "--also", "model.sig"]).code(0).says(&["as sealed", "the bundle"]);
    release.run(&["verify", "manifest.yaml", "--also", "model.sig"]).code(0).says(&["unchecked", "model.sig"]);
    release.write("clean.yaml", "changed");
    for first in [&["model.sig"][..], &["manifest.yaml", "--also", "model.sig"]] {
        assert!(verify(first).code(1).out.contains("changed      clean.yaml"));
    }
    release.write("clean.yaml", crate::support::CLEAN);
    release.write("extra", "");
    assert!(verify(&["model.sig"]).code(1).out.contains("extra        extra"));
    // A bundle with fewer files than the manifest signs less.
    std::fs::remove_file(release.path("extra")).unwrap();
    std::fs::create_dir(release.path("part")).unwrap();
    release.write("part/file", "more");
    release.run(&["seal", ".", "-o", "more.json", "--sha256", "--ignore", "model.sig"]).code(0);
    let told = verify(&["more.json", "--also", "model.sig"]).code(1).out;
    assert!(
        told.contains("signature    more.json.sig: there is no such file, and no bundle signs 1 sealed file"),
        "{told}"
    );
    std::fs::remove_dir_all(release.path("part")).unwrap();
    release.write("extra", "");
    std::fs::remove_file(release.path("more.json")).unwrap();
    // Files that OMS never signs are not findings, and are named.
    std::fs::remove_file(release.path("extra")).unwrap();
    release.write(".gitattributes", "");
    verify(&["model.sig"]).code(0).says(&["not covered .gitattributes"]);
    release.write("model.sig", "{\"mediaType\":1}");
    verify(&["model.sig"]).code(2).says(&["model.sig:1", "not an OMS bundle"]);
}

/// A root certifies many signers: the signer's identity is reported, and can be required.
#[test]
fn a_certificates_signer_is_told_and_can_be_named() {
    let release = sealed();
    let outside = tempfile::tempdir().unwrap();
    let within = |name: &str| outside.path().join(name).to_str().unwrap().to_owned();
    let (sig, chain) = (within("model.sig"), within("chain.pem"));
    let sign = |certificate: &str, private: &str| {
        let both = [certificate, "intermediate"].map(|name| std::fs::read_to_string(key(name)).unwrap());
        std::fs::write(&chain, both.concat()).unwrap();
        let oms = ["export", "oms", "manifest.yaml", "--key", &key(private), "--certificates", &chain, "-o", &sig];
        release.run(&oms).code(0);
    };
    sign("named", "p-256.key");
    let root = release.root().to_str().unwrap().to_owned();
    let verify = |more: &[&str]| release.run(&[&["verify", &sig, &root, "--trust", &key("root")], more].concat());
    let any =
        verify(&[]).code(0).says(&["signed the bundle, by CN=named,O=retrace test", "alice@example.org", "not pinned"]);
    assert!(any.err.contains("--identity"), "{}", any.err);
    let told = verify(&["--json"]).code(0).json("verify/1");
    assert_eq!((&told["trust"], &told["signatures"][0]["pinned"]), (&"signed".into(), &false.into()));
    let signer = told["signatures"][0]["signer"].as_array().unwrap();
    assert!(signer.contains(&"https://example.org/alice".into()) && signer.contains(&"CN=named,O=retrace test".into()));
    let fingerprint = signer[0].as_str().unwrap().to_owned();
    for name in ["CN=named,O=retrace test", "alice@example.org", "alice.example.org", &fingerprint] {
        let pinned = verify(&["--identity", "nobody", "--identity", name]).code(0).says(&["signed"]);
        assert!(!pinned.err.contains("not pinned"), "{}", pinned.err);
        let told = verify(&["--identity", name, "--json"]).code(0).json("verify/1");
        assert_eq!(told["signatures"][0]["pinned"], true);
    }
    for name in ["CN=signer,O=retrace test", "alice@example.or", "example.org", "https://example.org/"] {
        let ran = verify(&["--identity", name]).code(1);
        assert!(ran.out.contains("it was not signed by") && ran.out.contains("alice@example.org"), "{}", ran.out);
    }
    for wrong in ["", "sha256:00", "two words"] {
        verify(&["--identity", wrong]).code(2);
    }
    // It applies to certificates; a key has no other identity.
    for ignored in [["--identity", "x"], ["--at", "2026-03-01"]] {
        release.run(&[&["verify", &sig, &root, "--public-key", &key("p-256.pub")][..], &ignored].concat()).code(2);
        release.run(&[&["verify", "manifest.yaml"][..], &ignored].concat()).code(2);
    }
    let by_key = release.run(&["verify", &sig, &root, "--public-key", &key("p-256.pub")]).code(0);
    assert!(by_key.err.contains(&fingerprint) && !by_key.err.contains("CN="), "{}", by_key.err);
    // Another's certificate under the same root, whose URI looks like the first one's names.
    sign("lookalike", "p-384.key");
    verify(&[]).code(0);
    for name in ["alice@example.org", "CN=signer,O=retrace test", &fingerprint] {
        verify(&["--identity", name]).code(1);
    }
}

/// Verified content that the named signer did not sign is a finding, whatever the reason that it was verified.
#[test]
fn nothing_is_signed_by_being_near_a_signature() {
    let release = sealed();
    let signed = ["export", "oms", "manifest.yaml", "--key", &key("p-256.key"), "-o", "model.sig"];
    release.run(&signed).code(0);
    let public = ["--public-key", &key("p-256.pub")];
    let verify = |first: &[&str]| release.run(&[&["verify"], first, &public].concat());
    let list = release.run(&["export", "b3sums", "manifest.yaml"]).code(0).out;
    release.write("B3SUMS", &list);
    // A list is a list without a signature, whatever its name and whatever files are beside it.
    for name in ["B3SUMS", "list.b3", "manifest.b3"] {
        release.write(name, &list);
        release.write(&format!("{name}.sig"), "{}");
        verify(&[name]).code(2).says(&["a list without a signature"]);
        for file in [name.to_owned(), format!("{name}.sig")] {
            std::fs::remove_file(release.path(&file)).unwrap();
        }
    }
    // Beside a bundle, or beside a signed manifest, it adds nothing that is signed.
    std::fs::create_dir(release.path("more")).unwrap();
    release.write("more/file", "");
    // The BLAKE3 of the empty input, from BLAKE3's own vectors.
    let more = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262  more/file\n";
    release.write("B3SUMS", more);
    release.run(&["sign", "manifest.yaml", "--key", &key("p-256.key")]).code(0);
    for first in [&["model.sig", "--also", "B3SUMS"][..], &["manifest.yaml", "--also", "B3SUMS"]] {
        let ran = verify(first).code(1);
        assert!(ran.out.contains("signature ") && ran.out.contains("no signature covers 1 listed file"), "{}", ran.out);
    }
    let ran = verify(&["B3SUMS", "--also", "model.sig"]).code(1);
    assert!(ran.out.contains("no signature covers 1 listed file"), "{}", ran.out);
    // A manifest that lists a bundle's files, but that the bundle itself does not sign.
    std::fs::remove_dir_all(release.path("more")).unwrap();
    for file in ["B3SUMS", "manifest.yaml.sig"] {
        std::fs::remove_file(release.path(file)).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    let other = other.path().join("other.yaml");
    std::fs::copy(release.path("manifest.yaml"), &other).unwrap();
    let (other, root) = (other.to_str().unwrap(), release.root().to_str().unwrap());
    let sig = release.path("model.sig");
    let ran = verify(&[other, root, "--also", sig.to_str().unwrap()]).code(1);
    assert!(ran.out.contains("no bundle signs the manifest itself"), "{}", ran.out);
}

/// With a named key, "all as sealed" is impossible without its signature; without one, the basis of trust in the
/// manifest is reported.
#[test]
fn who_vouches_is_told_each_time() {
    let release = sealed();
    let trust = |arguments: &[&str], code: i32| {
        let arguments = [&["verify", "manifest.yaml", "--json"], arguments].concat();
        release.run(&arguments).code(code).json("verify/1")["trust"].as_str().unwrap().to_owned()
    };
    let public = key("ed25519.pub");
    let root = release.run(&["verify", "manifest.yaml", "--json"]).code(0).json("verify/1")["root"].clone();
    let root = root.as_str().unwrap();
    assert_eq!(trust(&[], 0), "unsigned");
    release.run(&["verify", "manifest.yaml"]).code(0).says(&["unsigned", "nobody vouches for it", "--root"]);
    assert_eq!(trust(&["--root", root], 0), "published");
    let ran = release.run(&["verify", "manifest.yaml", "--root", root]).code(0).says(&["as given by --root"]);
    assert!(!ran.err.contains("unsigned"), "{}", ran.err);
    assert_eq!(trust(&["--root", &format!("b3:{}", "0".repeat(64))], 1), "unsigned");
    assert_eq!(trust(&["--public-key", &public], 1), "refused");
    assert_eq!(trust(&["--public-key", &public, "--signature", "nowhere"], 1), "refused");
    assert_eq!(trust(&["--signature", "nowhere"], 0), "unchecked");
    release.run(&["sign", "manifest.yaml", "--key", &key("ed25519.key")]).code(0);
    assert_eq!(trust(&[], 0), "unchecked");
    release.run(&["verify", "manifest.yaml"]).code(0).says(&["unchecked", "the signature was not checked"]);
    assert_eq!(trust(&["--public-key", &public], 0), "signed");
    assert_eq!(trust(&["--public-key", &key("p-256.pub")], 1), "refused");
    // Another release's signature, of another root; and a file that is too long for a signature.
    let other = sealed();
    other.write("notes.txt", "more");
    other.run(&["seal", ".", "--sha256", "--name", "small"]).code(0);
    other.run(&["sign", "manifest.yaml", "--key", &key("ed25519.key")]).code(0);
    let signature = release.read("manifest.yaml.sig");
    release.write("manifest.yaml.sig", other.read("manifest.yaml.sig"));
    assert_eq!(trust(&["--public-key", &public], 1), "refused");
    release.write("manifest.yaml.sig", " ".repeat(2 << 20));
    assert_eq!(trust(&["--public-key", &public], 1), "refused");
    std::fs::remove_file(release.path("manifest.yaml.sig")).unwrap();
    std::fs::create_dir(release.path("manifest.yaml.sig")).unwrap();
    assert_eq!(trust(&["--public-key", &public], 1), "refused");
    std::fs::remove_dir(release.path("manifest.yaml.sig")).unwrap();
    release.write("manifest.yaml.sig", signature);
    // A list is unsigned, and the output says so.
    let list = release.run(&["export", "b3sums", "manifest.yaml"]).code(0).out;
    release.write("B3SUMS", &list);
    release.run(&["verify", "B3SUMS"]).code(0).says(&["as listed", "unsigned"]);
    assert_eq!(release.run(&["verify", "B3SUMS", "--json"]).code(0).json("verify/1")["trust"], "unsigned");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_get_at_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let release = sealed();
    let keys = tempfile::tempdir().unwrap();
    let private = keys.path().join("key.pem");
    std::fs::copy(key("p-256.key"), &private).unwrap();
    let mode = |path: &Path, mode: u32| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let private = private.to_str().unwrap();
    let verbs: [&[&str]; 3] = [
        &["sign", "manifest.yaml", "--key", private],
        &["export", "oms", "manifest.yaml", "-o", "model.sig", "--key", private],
        &["export", "slsa", "manifest.yaml", "-o", "slsa.jsonl", "--key", private],
    ];
    for (file, directory, how) in [
        (0o600, 0o700, None),
        (0o400, 0o755, None),
        (0o600, 0o1777, None),
        (0o640, 0o700, Some("others can read it")),
        (0o644, 0o700, Some("others can read it")),
        (0o660, 0o700, Some("others can read and replace it")),
        (0o600, 0o777, Some("others can replace it")),
    ] {
        mode(private.as_ref(), file);
        mode(keys.path(), directory);
        for verb in verbs {
            let ran = release.run(verb).code(0);
            match how {
                Some(how) => drop(ran.says(&["exposed", how, "chmod 600"])),
                None => assert!(!ran.err.contains("exposed"), "{file:o} {directory:o}: {}", ran.err),
            }
        }
        let told = release.run(&[verbs[0], &["--json"]].concat()).code(0).json("sign/1");
        assert_eq!(told["key_exposed"].as_str(), how);
    }
}

#[test]
fn lists_that_are_written_are_read() {
    let release = sealed();
    for (form, name) in [("sha256sums", "SHA256SUMS"), ("b3sums", "B3SUMS")] {
        let list = release.run(&["export", form, "manifest.yaml"]).code(0).out;
        release.write(name, &list);
        release.run(&["verify", name]).code(0).says(&["as listed"]);
    }
    let slsa = release.run(&["export", "slsa", "manifest.yaml", "--step", "clean"]).code(0).out;
    let statement: Value = serde_json::from_str(&slsa).unwrap();
    assert_eq!(statement["predicate"]["buildDefinition"]["externalParameters"]["step"], "clean");
    assert!(statement["subject"][0]["digest"]["sha256"].is_string());
    let told = release.run(&["export", "slsa", "manifest.yaml", "--json"]).code(0).json("export/1");
    assert_eq!(told["text"], slsa);
    release.run(&["export", "slsa", "manifest.yaml", "--step", "none"]).code(2).says(&["none"]);
}

/// Another tool, if it is installed here (`just test-all` installs them).
fn peer(program: &str) -> Option<Command> {
    let there = Command::new(program).arg("--help").output().is_ok_and(|ran| ran.status.success());
    if !there {
        println!("skipped: {program} is not installed");
    }
    there.then(|| Command::new(program))
}

fn ran(command: &mut Command, arguments: &[&str], directory: &Path) -> Ran {
    command.args(arguments).current_dir(directory).output().unwrap().into()
}

#[test]
fn sha256sum_and_b3sum_check_our_lists() {
    let release = sealed();
    for (form, program) in [("sha256sums", "sha256sum"), ("b3sums", "b3sum")] {
        let Some(mut peer) = peer(program) else { continue };
        release.run(&["export", form, "manifest.yaml", "-o", form]).code(0);
        ran(&mut peer, &["--check", form], release.root()).code(0);
    }
}

/// OpenSSF's own tool accepts our signatures, we accept its, and both refuse changed files.
#[test]
#[ignore = "starts Python many times"]
fn the_reference_tool_and_we_agree() {
    let release = sealed();
    let root = release.root().to_str().unwrap().to_owned();
    let outside = tempfile::tempdir().unwrap();
    let reference = |arguments: &[&str]| Some(ran(&mut peer("model_signing")?, arguments, outside.path()));
    let chain = outside.path().join("chain.pem");
    let both = ["signer", "intermediate"].map(|name| std::fs::read_to_string(key(name)).unwrap());
    std::fs::write(&chain, both.concat()).unwrap();
    let chain = chain.to_str().unwrap();
    let ours = outside.path().join("ours.sig").to_str().unwrap().to_owned();
    let theirs = outside.path().join("theirs.sig").to_str().unwrap().to_owned();
    for kind in ["p-256", "p-384", "p-521", "certificate"] {
        let certificate = kind == "certificate";
        let private = if certificate { key("p-256.key") } else { key(&format!("{kind}.key")) };
        let public = key(&format!("{kind}.pub"));
        let authority = key("root");
        let mut export = vec!["export", "oms", "manifest.yaml", "--key", &private, "-o", &ours];
        let (mut check, mut sign, verify);
        if certificate {
            export.extend(["--certificates", chain]);
            check = vec!["verify", "certificate", "--certificate_chain", &authority];
            sign = vec!["sign", "certificate", "--private_key", &private, "--signing_certificate"];
            let (signer, intermediate) = (key("signer"), key("intermediate"));
            let (signer, intermediate) = (signer.leak(), intermediate.leak());
            sign.extend([&*signer, "--certificate_chain", &*intermediate]);
            verify = ["--trust", &authority];
        } else {
            check = vec!["verify", "key", "--public_key", &public];
            sign = vec!["sign", "key", "--private_key", &private];
            verify = ["--public-key", &public];
        }
        release.run(&export).code(0);
        check.extend(["--signature", &ours, &root]);
        let Some(accepted) = reference(&check) else { return };
        accepted.code(0);
        sign.extend(["--signature", &theirs, &root]);
        reference(&sign).unwrap().code(0);
        let verify = [&["verify", &theirs, &root][..], &verify].concat();
        release.run(&verify).code(0);
        release.write("clean.yaml", "changed");
        reference(&check).unwrap().code(1);
        release.run(&verify).code(1);
        release.write("clean.yaml", crate::support::CLEAN);
        // The signed list itself is changed.
        let mut bundle: Value = serde_json::from_slice(&std::fs::read(&ours).unwrap()).unwrap();
        let signature = bundle["dsseEnvelope"]["signatures"][0]["sig"].as_str().unwrap();
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = signature.replacen('Q', "R", 1).into();
        std::fs::write(&ours, bundle.to_string()).unwrap();
        assert_ne!(reference(&check).unwrap().code, 0);
        let verify = [&["verify", &ours, &root][..], &verify[3..]].concat();
        assert!(release.run(&verify).code(1).out.starts_with("signature "));
    }
}

/// CycloneDX's own library accepts the bill of materials as valid.
#[test]
#[ignore = "starts Python"]
fn the_bill_of_materials_is_valid() {
    let release = sealed();
    release.run(&["export", "cyclonedx", "manifest.yaml", "-o", "bill.json"]).code(0);
    let validate = "\
import sys
try:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
except ImportError:
    sys.exit('skipped: cyclonedx is not installed')
wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open('bill.json').read())
print('valid' if wrong is None else wrong)";
    let Some(mut python) = peer("python3") else { return };
    let ran = ran(&mut python, &["-c", validate], release.root());
    if ran.err.contains("skipped") {
        println!("{}", ran.err);
        return;
    }
    assert_eq!(ran.code(0).out, "valid\n");
}

/// A bundle signs a manifest by its bytes: these are checked, whatever else is chosen. And the SHA-256 values in a
/// manifest are correct, because exports repeat them.
#[test]
fn a_manifest_made_anew_passes_for_no_signed_one() {
    let release = sealed();
    release.run(&["seal", ".", "--sha256", "--name", "small"]).code(0);
    let (private, public) = (key("p-256.key"), key("p-256.pub"));
    let elsewhere = tempfile::tempdir().unwrap();
    let bundle = elsewhere.path().join("model.sig").to_str().unwrap().to_owned();
    release.run(&["export", "oms", "manifest.yaml", "--key", &private, "-o", &bundle]).code(0);
    let verify = ["verify", "manifest.yaml", "--also", &bundle, "--public-key", &public];
    let only = [&verify[..], &["--only", "kind=config"]].concat();
    release.run(&only).code(0);
    let honest = String::from_utf8(release.read("manifest.yaml")).unwrap();
    // As a forger would do it, with the root that the error shows.
    let forged = |change: &dyn Fn(&str) -> String| {
        let changed = change(&honest);
        assert_ne!(changed, honest);
        release.write("manifest.yaml", &changed);
        let told = release.run(&["verify", "manifest.yaml"]).code(2).err;
        let old = honest.lines().find(|line| line.starts_with("root: ")).unwrap();
        let roots: Vec<&str> = told.split_whitespace().map(|word| word.trim_end_matches([':', ','])).collect();
        let new = roots.iter().find(|word| word.starts_with("b3:") && word.len() == 67 && !old.contains(**word));
        release.write("manifest.yaml", changed.replace(old, &format!("root: {}", new.expect("the root"))));
    };
    forged(&|text| text.replacen("kind: shard", "kind: other", 1));
    release.run(&["verify", "manifest.yaml"]).code(0);
    release.run(&only).code(1);
    release.run(&verify).code(1);
    let at = honest.find("sha256: sha256:").unwrap() + "sha256: sha256:".len();
    forged(&|text| format!("{}{}{}", &text[..at], "0".repeat(64), &text[at + 64..]));
    let ran = release.run(&["verify", "manifest.yaml"]).code(1);
    assert!(ran.out.contains("sha256"), "{}", ran.out);
}
