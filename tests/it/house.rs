//! Rules for the source code itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Calls that open or write a file by its path: they follow links, wait at a pipe, read without end, or
/// leave half a file.
const BY_PATH: &[&str] = &[
    "File::open(",
    "File::create(",
    "File::create_new(",
    "OpenOptions::new(",
    "fs::read(",
    "fs::read_to_string(",
    "fs::write(",
    "fs::copy(",
    "fs::hard_link(",
    "fs::rename(",
];

/// Where they are allowed: each file, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("crates/files/src/beneath.rs", "it is what the others are made of"),
    ("crates/files/src/lock.rs", "the name of the machine, from the system"),
    ("crates/manifest/src/resume.rs", "notes that are their user's alone from the first byte, and are appended to"),
];

/// Every source file of a crate, except its tests and benches.
fn sources() -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut directories: Vec<PathBuf> =
        fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path().join("src")).collect();
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => sources.push(path),
            }
        }
    }
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs"));
    sources.sort();
    sources
}

/// Only `retrace-files` opens files: it refuses pipes and devices, follows no link below a release, and writes
/// completely or not at all.
#[test]
fn no_crate_opens_a_file_by_itself() {
    let sources = sources();
    assert!(sources.len() > 100, "{} sources were found", sources.len());
    let mut found = Vec::new();
    for path in sources {
        let name = path.to_string_lossy().replace('\\', "/");
        let name = name.split_once("/crates/").map_or(name.clone(), |(_, rest)| format!("crates/{rest}"));
        if ALLOWED.iter().any(|(allowed, _)| *allowed == name) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Tests are at the end of a file.
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code = code.split("#[cfg(all(test, unix))]").next().unwrap_or_default();
        for (at, line) in code.lines().enumerate() {
            let stands = |call: &&&str| {
                let whole = |at: usize| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
                line.match_indices(**call).any(|(at, _)| whole(at))
            };
            let call = BY_PATH.iter().find(stands).filter(|_| !line.trim_start().starts_with("//"));
            if let Some(call) = call {
                found.push(format!("{name}:{}: {call}", at + 1));
            }
        }
    }
    assert!(
        found.is_empty(),
        "use RegularFile, Root, WholeFile or write_whole of retrace-files:\n{}",
        found.join("\n")
    );
}

/// Dependencies that only the binary may have: only the binary shows arguments, progress and errors.
const OF_THE_BINARY: [&str; 3] = ["clap", "indicatif", "miette"];

/// Every crate of the workspace, as `cargo metadata` describes it.
fn crates() -> Vec<Value> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let Value::Array(crates) = metadata["packages"].take() else { panic!("no packages") };
    crates
}

/// A crate's name without the prefix `retrace-` of all our crates.
fn short(name: &Value) -> Option<&str> {
    name.as_str()?.strip_prefix("retrace-")
}

/// Errors in the floors of the crates and in their dependencies.
fn broken_floors(crates: &[Value]) -> Vec<String> {
    let floor = |of: &Value| of["metadata"]["retrace"]["floor"].as_u64();
    let floors: BTreeMap<&str, Option<u64>> =
        crates.iter().filter_map(|of| Some((short(&of["name"])?, floor(of)))).collect();
    let mut broken = Vec::new();
    for of in crates {
        let Some(name) = short(&of["name"]) else {
            broken.push(format!("{} is not called retrace-…", of["name"]));
            continue;
        };
        let Some(own) = floor(of) else {
            broken.push(format!("{name} states no floor: [package.metadata.retrace] floor = N"));
            continue;
        };
        for dependency in of["dependencies"].as_array().unwrap() {
            if let Some(other) = short(&dependency["name"]) {
                match floors.get(other).copied().flatten() {
                    Some(below) if below < own => {}
                    floor => broken.push(format!("{name} (floor {own}) depends on {other} (floor {floor:?})")),
                }
            }
            let foreign = dependency["name"].as_str().unwrap();
            if name != "cli" && OF_THE_BINARY.contains(&foreign) {
                broken.push(format!("{name} is a library, and depends on {foreign}"));
            }
        }
    }
    broken
}

#[test]
fn a_crate_depends_only_on_lower_floors() {
    let crates = crates();
    assert!(crates.len() > 15, "{} crates were found", crates.len());
    assert_eq!(broken_floors(&crates), [""; 0]);
    // The floors are those of the table, and the table has every crate.
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let floor: u64 = cells.next()?.parse().ok()?;
        Some((cells.next()?.trim_matches('`').to_owned(), floor))
    };
    let mapped: BTreeMap<String, u64> = map.lines().filter_map(row).collect();
    let stated: BTreeMap<String, u64> = crates
        .iter()
        .map(|of| (short(&of["name"]).unwrap().to_owned(), of["metadata"]["retrace"]["floor"].as_u64().unwrap()))
        .collect();
    assert_eq!(mapped, stated, "ARCHITECTURE.md and the crates' Cargo.toml");
}

/// The check above can fail.
#[test]
fn a_crate_on_a_wrong_floor_is_found() {
    let of = |name: &str, floor: Value, dependencies: &[&str]| {
        let dependencies: Vec<Value> = dependencies.iter().map(|name| serde_json::json!({ "name": name })).collect();
        serde_json::json!({"name": name, "metadata": {"retrace": {"floor": floor}}, "dependencies": dependencies})
    };
    let broken = broken_floors(&[
        of("retrace-low", 1.into(), &["retrace-high", "serde"]),
        of("retrace-high", 2.into(), &["retrace-low", "retrace-beside"]),
        of("retrace-beside", 2.into(), &["clap"]),
        of("retrace-new", Value::Null, &[]),
        of("retrace-cli", 3.into(), &["retrace-high", "clap"]),
    ]);
    assert_eq!(
        broken,
        [
            "low (floor 1) depends on high (floor Some(2))",
            "high (floor 2) depends on beside (floor Some(2))",
            "beside is a library, and depends on clap",
            "new states no floor: [package.metadata.retrace] floor = N",
        ]
    );
}

/// Tests on data that are not in the repository are in files called `real_data.rs`, and each reports that it did not run:
/// none can pass without the data.
#[test]
fn only_files_called_real_data_read_data_beside_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut directories = vec![root.join("crates"), root.join("tests")];
    let (mut readers, mut seen) = (Vec::new(), 0);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                seen += 1;
                // Composed here, so that this file does not match.
                if fs::read_to_string(&path).unwrap().contains(&["..", "shared"].join("/")) {
                    readers.push(path);
                }
            }
        }
    }
    assert!(seen > 150, "{seen} files were found");
    assert!(readers.len() > 1, "{readers:?}");
    for reader in readers {
        assert_eq!(reader.file_name().unwrap(), "real_data.rs", "{}", reader.display());
        let tests = fs::read_to_string(&reader).unwrap();
        let ignored = tests.matches("#[test]\n#[ignore = \"real data\"]\n").count();
        assert_eq!(tests.matches("#[test]\n").count(), ignored, "{}", reader.display());
    }
}
