//! The ported functions, one file for each kind of task, and the digests of the sources that they are ports of.

mod answers;
mod common;
mod equivalence;
mod generation;
mod likelihoods;
mod multiple_choice;
mod texts;

use crate::function::Port;

/// The ports of all families.
fn all() -> impl Iterator<Item = &'static (&'static str, Port)> {
    [answers::PORTS, generation::PORTS, likelihoods::PORTS, multiple_choice::PORTS, texts::PORTS].into_iter().flatten()
}

/// The port of the source with this digest.
pub(crate) fn find(digest: &str) -> Option<Port> {
    all().find(|(known, _)| *known == digest).map(|(_, port)| *port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_is_ported_once() {
        let digests: std::collections::BTreeSet<&str> = all().map(|(digest, _)| *digest).collect();
        assert_eq!(digests.len(), all().count());
        for digest in digests {
            let digits = digest.strip_prefix("b3:").unwrap();
            assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
        }
    }
}
