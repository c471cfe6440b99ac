//! Rules that hold for the source itself.

use std::fs;
use std::path::{Path, PathBuf};

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

/// Where they may stand: each file, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("crates/files/src/beneath.rs", "it is what the others are made of"),
    ("crates/files/src/lock.rs", "the name of the machine, from the system"),
    ("crates/manifest/src/resume.rs", "notes that are their user's alone from the first byte, and are appended to"),
];

/// Every source file of a crate, but for its tests and benches.
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

/// Files are opened by `retrace-files` alone, which refuses pipes and devices, follows no link below a
/// release, and writes whole or not at all.
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
        // Tests stand at the end of a file.
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

/// Tests on data that are not in the repository stand in one place, and each says that it did not run: none
/// can pass where the data are not.
#[test]
fn only_one_file_of_tests_reads_data_beside_the_repository() {
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
                // Put together here, so that this file is none of them.
                if fs::read_to_string(&path).unwrap().contains(&["..", "shared"].join("/")) {
                    readers.push(path.file_name().unwrap().to_owned());
                }
            }
        }
    }
    assert!(seen > 150, "{seen} files were found");
    assert_eq!(readers, ["real_data.rs"]);
    let tests = fs::read_to_string(root.join("tests/it/real_data.rs")).unwrap();
    assert_eq!(tests.matches("#[test]\n").count(), tests.matches("#[test]\n#[ignore = \"real data\"]\n").count());
}
