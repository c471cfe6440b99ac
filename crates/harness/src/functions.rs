//! The ported functions, one file for each family of tasks, and the digests of the sources that they are ports of.

mod answers;
mod common;
mod equivalence;
mod generation;
mod likelihoods;
mod multiple_choice;
mod texts;

use crate::function::Port;

/// The port of the source with this digest.
pub(crate) fn find(digest: &str) -> Option<Port> {
    let families = [answers::PORTS, generation::PORTS, likelihoods::PORTS, multiple_choice::PORTS, texts::PORTS];
    families.into_iter().flatten().find(|(known, _)| *known == digest).map(|(_, port)| *port)
}
