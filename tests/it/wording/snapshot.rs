//! Texts that are compared with files. With `RETRACE_WORDING=write` in the environment the files are written instead.

use std::fs;
use std::path::Path;

/// Compares each text with the file of its name in `tests/it/wording/DIRECTORY`, which must contain no other file.
///
/// # Panics
/// If a text differs, has no file, or a file has no text.
pub(crate) fn compare(directory: &str, texts: &[(String, String)]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/wording").join(directory);
    if std::env::var_os("RETRACE_WORDING").is_some_and(|what| what == "write") {
        if directory.exists() {
            fs::remove_dir_all(&directory).unwrap();
        }
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in texts {
            fs::write(directory.join(name), text).unwrap();
        }
        return;
    }
    let mut wrong = Vec::new();
    for (name, text) in texts {
        let there = fs::read_to_string(directory.join(name)).unwrap_or_default();
        if there != *text {
            let first = text.lines().zip(there.lines().chain(std::iter::repeat(""))).find(|(new, old)| new != old);
            let (new, old) = first.unwrap_or(("", "a shorter text"));
            wrong.push(format!("{name}:\n  now    {new}\n  before {old}"));
        }
    }
    for entry in fs::read_dir(&directory).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !texts.iter().any(|(known, _)| *known == name) {
            wrong.push(format!("{name}: nothing has this text any more"));
        }
    }
    assert!(
        wrong.is_empty(),
        "texts have changed. If that is intended, run `just wording` and commit tests/it/wording:\n{}",
        wrong.join("\n")
    );
}
