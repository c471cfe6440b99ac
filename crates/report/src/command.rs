//! Commands that a reader can type.

/// A text as a shell reads it as one word. It may be untrusted.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// The last part of a path: a page names a file, and not where it was on a machine. URLs are as they are.
pub fn file_name(path: &str) -> String {
    let name = std::path::Path::new(path).file_name().filter(|_| !path.contains("://"));
    name.map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// An option with its value. A value that begins with a dash is no option of its own.
pub(crate) fn option(name: &str, value: &str) -> String {
    let between = if value.starts_with('-') { "=" } else { " " };
    format!("{name}{between}{}", shell_word(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_without_its_place() {
        for (path, expected) in [
            ("/home/someone/runs.csv", "runs.csv"),
            ("../data/t/", "t"),
            ("runs.csv", "runs.csv"),
            (".", "."),
            ("s3://bucket/a/x.parquet", "s3://bucket/a/x.parquet"),
        ] {
            assert_eq!(file_name(path), expected);
        }
    }

    #[test]
    fn a_shell_reads_one_word() {
        for (text, expected) in [
            ("runs/base.yaml", "runs/base.yaml"),
            ("", "''"),
            ("a b", "'a b'"),
            ("x; rm -rf ~", "'x; rm -rf ~'"),
            ("it's $HOME", "'it'\\''s $HOME'"),
            ("中文", "'中文'"),
        ] {
            assert_eq!(shell_word(text), expected);
            #[cfg(unix)]
            {
                // What a shell makes of it.
                let command = format!("printf %s {expected}");
                let printed = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
                assert_eq!(String::from_utf8(printed.stdout).unwrap(), text);
            }
        }
        assert_eq!(option("--step", "-x"), "--step=-x");
    }
}
