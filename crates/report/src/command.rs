//! Commands that a reader can type.

/// A text as a shell reads it as one word. It may be untrusted.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
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
