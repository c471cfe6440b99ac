//! Who else can get at a file that is meant for its owner alone.

use std::fs::Metadata;

/// How others than its owner can get at a key or token with this metadata, in a directory with that:
/// nothing if they cannot. Judged by the modes alone, where a system has them, as lists of further
/// rights are not seen.
pub fn exposure(file: &Metadata, directory: Option<&Metadata>) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        judged(file.mode(), directory.map(MetadataExt::mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, directory);
        None
    }
}

#[cfg_attr(not(unix), allow(dead_code))]
fn judged(file: u32, directory: Option<u32>) -> Option<&'static str> {
    // In a directory with the sticky bit, as /tmp is, a file is moved and removed by its owner alone.
    let replaceable = directory.is_some_and(|mode| mode & 0o002 != 0 && mode & 0o1000 == 0);
    match (file & 0o044 != 0, file & 0o022 != 0 || replaceable) {
        (true, true) => Some("others can read and replace it"),
        (true, false) => Some("others can read it"),
        (false, true) => Some("others can replace it"),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_tell_who_can_get_at_a_file() {
        const READ: Option<&str> = Some("others can read it");
        const REPLACE: Option<&str> = Some("others can replace it");
        const BOTH: Option<&str> = Some("others can read and replace it");
        for (file, directory, expected) in [
            (0o100_600, Some(0o40_700), None),
            (0o100_400, Some(0o40_755), None),
            (0o100_600, None, None),
            (0o100_640, Some(0o40_700), READ),
            (0o100_604, Some(0o40_700), READ),
            (0o100_620, Some(0o40_700), REPLACE),
            (0o100_602, Some(0o40_700), REPLACE),
            (0o100_666, Some(0o40_755), BOTH),
            (0o100_600, Some(0o40_777), REPLACE),
            (0o100_600, Some(0o41_777), None),
            (0o100_644, Some(0o40_777), BOTH),
        ] {
            assert_eq!(judged(file, directory), expected, "{file:o} in {directory:?}");
        }
    }
}
