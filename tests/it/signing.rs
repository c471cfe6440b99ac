//! `sign`, `export` and what `verify` says of signatures; and the tools of others on what we write.

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
    // Sealed anew by whoever changed a file; the old signature does not hold, nor is it sealed.
    let signature = release.read("manifest.yaml.sig");
    release.write("notes.txt", "more");
    release.run(&["seal", ".", "--sha256", "--name", "small"]).code(0);
    wrong(verify("ed25519.pub"), "sealed anew");
    for (bytes, what) in [(&signature[..40], "no signature"), (b"".as_slice(), "no signature"), (b"{}", "no signature")]
    {
        release.write("manifest.yaml.sig", bytes);
        wrong(verify("ed25519.pub"), what);
    }
    std::fs::remove_file(release.path("manifest.yaml.sig")).unwrap();
    wrong(verify("ed25519.pub"), "not there");
    // Elsewhere, and told to a program.
    let sig = ["--signature", "signatures/one"];
    std::fs::create_dir(release.path("signatures")).unwrap();
    release.run(&["sign", "manifest.yaml", "--key", &key("p-521.key"), "-o", sig[1]]).code(0);
    let public = key("p-521.pub");
    let arguments = [&["verify", "manifest.yaml", "--json", "--public-key", &public][..], &sig].concat();
    let told = release.run(&arguments).code(0).json("verify/1");
    assert_eq!(told["signatures"][0]["holds"], true);
}

/// Which program sealed a release nobody signs, so no export says it.
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
    release.run(&["export", "oms", "manifest.yaml"]).code(2).says(&["--key"]);
    release.run(&["export", "oms", "manifest.yaml", "--key", &key("ed25519.key")]).code(2).says(&["P-256", "genpkey"]);
    release.run(&["export", "b3sums", "manifest.yaml", "--key", &key("p-256.key")]).code(2).says(&["oms and slsa"]);
    let chain = key("signer");
    let oms =
        |kind: &str| release.run(&["export", "oms", "manifest.yaml", "--key", &key(kind), "--certificates", &chain]);
    oms("p-256.key").code(0);
    oms("p-384.key").code(2).says(&["another key"]);
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
    // A bundle of less than the manifest has signs less.
    std::fs::remove_file(release.path("extra")).unwrap();
    std::fs::create_dir(release.path("part")).unwrap();
    release.write("part/file", "more");
    release.run(&["seal", ".", "-o", "more.json", "--sha256", "--ignore", "model.sig"]).code(0);
    let told = verify(&["more.json", "--also", "model.sig"]).code(1).out;
    assert!(told.contains("signature    more.json.sig: it is not there, and no bundle signs 1 sealed file"), "{told}");
    std::fs::remove_dir_all(release.path("part")).unwrap();
    release.write("extra", "");
    std::fs::remove_file(release.path("more.json")).unwrap();
    // What OMS never signs is no finding, and is named.
    std::fs::remove_file(release.path("extra")).unwrap();
    release.write(".gitattributes", "");
    verify(&["model.sig"]).code(0).says(&["not covered .gitattributes"]);
    release.write("model.sig", "{\"mediaType\":1}");
    verify(&["model.sig"]).code(2).says(&["model.sig:1", "no OMS bundle"]);
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

/// A peer, if it is installed here (`just test-all` installs them).
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

/// OpenSSF's own tool accepts what we sign, we accept what it signs, and both refuse what was changed.
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
        // The signed list itself changed.
        let mut bundle: Value = serde_json::from_slice(&std::fs::read(&ours).unwrap()).unwrap();
        let signature = bundle["dsseEnvelope"]["signatures"][0]["sig"].as_str().unwrap();
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = signature.replacen('Q', "R", 1).into();
        std::fs::write(&ours, bundle.to_string()).unwrap();
        assert_ne!(reference(&check).unwrap().code, 0);
        let verify = [&["verify", &ours, &root][..], &verify[3..]].concat();
        assert!(release.run(&verify).code(1).out.starts_with("signature "));
    }
}

/// CycloneDX's own library finds the bill of materials valid.
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
