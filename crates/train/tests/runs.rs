//! Runs that are trained, interrupted, resumed and replayed: always the same bits.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use retrace_files::{Progress, Silent};
use retrace_numerics::isa::{self, Isa};
use retrace_spec::{Document, Run, Step};
use retrace_train::{Journal, checkpoints};

mod small;

use small::{RUN, checkpoint, files, opened, prepare, replay, run, train};

fn trained(root: &Path) -> Journal {
    prepare(root);
    train(&opened(root), &run(), false, &Silent).unwrap()
}

#[test]
fn it_learns_and_leaves_checkpoints() {
    let directory = tempfile::tempdir().unwrap();
    let journal = trained(directory.path());
    let output = directory.path().join("runs/small");
    assert_eq!(checkpoints(&opened(&output)).unwrap(), [0, 4, 8, 12].map(Step));
    let losses: Vec<f64> = journal.lines().iter().map(|line| line.loss).collect();
    assert_eq!(losses.len(), 12);
    // An untrained model is about as good as a uniform guess: ln 32 nats per token.
    assert!((losses[0] - 32f64.ln()).abs() < 0.3, "{losses:?}");
    assert!(losses[11] < losses[0] - 0.5, "{losses:?}");
    assert_eq!(journal.lines()[11].tokens.get(), 12 * 6 * 16);
    let read = Journal::read(&opened(&output)).unwrap();
    assert_eq!(read.lines(), journal.lines());
    assert_eq!(read.run(), run().digest().unwrap());
    assert!(train(&opened(directory.path()), &run(), false, &Silent).is_err(), "a run is not overwritten");
}

/// A journal that does not match the checkpoint is refused, and is not changed.
#[test]
fn another_journal_is_not_cut() {
    let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    trained(mine.path());
    prepare(other.path());
    let changed = Run::parse(&RUN.replace("peak: 0.02", "peak: 0.03"), "run.yaml").unwrap();
    train(&opened(other.path()), &changed, false, &Silent).unwrap();
    let journal = Path::new("runs/small").join(Journal::NAME);
    fs::copy(other.path().join(&journal), mine.path().join(&journal)).unwrap();
    // So that there is something to truncate.
    fs::remove_dir_all(checkpoint(mine.path().join("runs/small"), Step(12))).unwrap();
    let before = files(mine.path());
    let error = train(&opened(mine.path()), &run(), true, &Silent).unwrap_err().to_string();
    assert!(error.contains("saved after a line with"), "{error}");
    assert_eq!(files(mine.path()), before);
}

#[test]
fn instruction_sets_threads_and_interruptions_make_no_difference() {
    let directory = tempfile::tempdir().unwrap();
    trained(directory.path());
    let expected = files(directory.path());
    for set in Isa::ALL.into_iter().filter(|set| set.is_here()) {
        for threads in [1, 3] {
            assert!(isa::force(set));
            let directory = tempfile::tempdir().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| trained(directory.path()));
            assert_eq!(files(directory.path()), expected, "{} with {threads} threads", set.name());
        }
    }
}

/// Panics after some steps, as a kill would end them.
struct Bomb(std::sync::atomic::AtomicU64);

impl Progress for Bomb {
    fn advance(&self, _: u64) {
        if self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            panic!("the bomb");
        }
    }
}

#[test]
fn a_run_that_was_interrupted_is_resumed_to_the_same_bits() {
    let directory = tempfile::tempdir().unwrap();
    trained(directory.path());
    let expected = files(directory.path());
    for after in [1, 3, 4, 5, 11] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        prepare(root);
        let bomb = Bomb(after.into());
        let ended =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| train(&opened(root), &run(), false, &bomb)));
        assert!(ended.is_err());
        // A kill may leave an incomplete last line and a partial checkpoint.
        let journal = root.join("runs/small").join(Journal::NAME);
        let mut bytes = fs::read(&journal).unwrap();
        bytes.extend(b"{\"step\":99,\"pha");
        fs::write(&journal, bytes).unwrap();
        fs::create_dir_all(root.join("runs/small/.step-000012.0123456789abcdef.retrace-partial")).unwrap();
        train(&opened(root), &run(), true, &Silent).unwrap();
        assert_eq!(files(root), expected, "after {after} steps");
    }
}

#[test]
fn a_replay_gives_the_same_bits() {
    let directory = tempfile::tempdir().unwrap();
    trained(directory.path());
    for (from, to, compared) in [(0, 12, vec![0, 4, 8, 12]), (4, 8, vec![4, 8]), (8, 11, vec![8])] {
        let replayed = replay(&opened(directory.path()), &run(), (Step(from), Step(to)), false, &Silent).unwrap();
        assert!(replayed.holds(), "{replayed:?}");
        assert_eq!(replayed.checkpoints, compared.into_iter().map(Step).collect::<Vec<_>>());
    }
    for (from, to) in [(4, 4), (8, 4), (0, 13), (5, 8)] {
        assert!(replay(&opened(directory.path()), &run(), (Step(from), Step(to)), false, &Silent).is_err());
    }
}

#[test]
fn a_journal_that_was_touched_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    trained(directory.path());
    let path = directory.path().join("runs/small").join(Journal::NAME);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |line: usize| {
        lines.iter().enumerate().filter(|(i, _)| *i != line).map(|(_, l)| format!("{l}\n")).collect::<String>()
    };
    for (touched, place) in [
        (text.replacen("\"step\":3,", "\"step\":4,", 1), ":3:"),
        (text.replacen("\"phase\":\"one\"", "\"phase\":\"two\"", 1), ":2:"),
        (without(5), ":6:"),
        (text.replacen("\"step\":7,", "\"stop\":7,", 1), ":7:"),
    ] {
        fs::write(&path, touched).unwrap();
        let error = Journal::read(&opened(path.parent().unwrap())).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn what_does_not_fit_the_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    prepare(root);
    let small = Run::parse(&RUN.replace("vocab_size: 32", "vocab_size: 31"), "run").unwrap();
    assert!(train(&opened(root), &small, false, &Silent).unwrap_err().to_string().contains("a.tokens"));
    assert!(train(&opened(root), &run(), true, &Silent).unwrap_err().to_string().contains("no complete checkpoint"));
    train(&opened(root), &run(), false, &Silent).unwrap();
    let other = Run { seed: retrace_spec::Seed(2), ..run() };
    assert!(train(&opened(root), &other, true, &Silent).unwrap_err().to_string().contains("made by a run file"));
}
