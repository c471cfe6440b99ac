//! The digests of all tensors of checkpoints, in turns (`benches/distributed.sh`): the same tensors in a distributed
//! checkpoint and in one file.
//!
//! Arguments: rounds, then directories, the first of which the others are compared with. Prints for each the median of
//! its seconds, and the speed relative to the first. All must have the same tensors.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench, not the product")]

use std::path::Path;
use std::time::Instant;

use retrace_checkpoint::Checkpoint;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [rounds, directories @ ..] = arguments.as_slice() else { return };
    let rounds: usize = rounds.parse().unwrap();
    let mut seconds = vec![Vec::with_capacity(rounds); directories.len()];
    let mut root = None;
    for _ in 0..rounds {
        for (at, directory) in directories.iter().enumerate() {
            let began = Instant::now();
            let found = Checkpoint::open(Path::new(directory)).unwrap().digests().unwrap();
            seconds[at].push(began.elapsed().as_secs_f64());
            assert_eq!(*root.get_or_insert(found.root), found.root, "{directory} has other tensors");
        }
    }
    let median = |seconds: &[f64]| {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let first = seconds.first().map_or(f64::NAN, |seconds| median(seconds));
    for (directory, seconds) in directories.iter().zip(&seconds) {
        let median = median(seconds);
        println!("{directory}: {median:.3} s, {:.2} times the speed of the first", first / median);
    }
}
