//! Leaked items whose effect is known, because it was put in.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use retrace_analysis::exposure::{
    Arrangements, Checkpoint, Item, Leak, NotCompared, Scored, compare, compare_with_twin,
};
use retrace_numerics::random::Stream;
use retrace_spec::{Step, Tokens};

const CASES: u64 = 200;
// All arrangements of so few items are gone through.
const LEAKED: usize = 4;
const CLEAN: usize = 8;

fn checkpoints(steps: &[u64]) -> Vec<Checkpoint> {
    steps.iter().map(|step| Checkpoint { step: Step(*step), tokens: Tokens(step * 100) }).collect()
}

fn item(id: &str, leak: Leak, scores: &[f64]) -> Item {
    Item { id: id.to_owned(), leak, scores: scores.iter().map(|score| Some(*score)).collect() }
}

fn seen(steps: &[u64]) -> Leak {
    Leak::Seen(steps.iter().map(|step| Step(*step)).collect())
}

/// A run with checkpoints every 10 steps up to 50. Every item has its own level and rises by 1 between two checkpoints; a
/// leaked one moves by `effect` when it is first seen, and by `spread` times a normal number more. All with noise.
fn simulated(case: u64, effect: f64, spread: f64) -> Scored {
    let stream = Stream::new(case, "simulated");
    let steps = [0, 10, 20, 30, 40, 50];
    let items = (0..LEAKED + CLEAN).map(|number| {
        let mut normal = [0.0_f32; 8];
        stream.normal(number as u64, 1.0, &mut normal);
        let [level, of_item, noise @ ..] = normal.map(f64::from);
        let first = (number < LEAKED).then(|| 1 + stream.below(1000, number as u64, 50));
        let moved = effect + spread * of_item;
        let scores: Vec<f64> = steps
            .iter()
            .zip(noise)
            .map(|(step, noise)| {
                let leaked = first.is_some_and(|first| first <= *step);
                5.0 * level + *step as f64 / 10.0 + noise + if leaked { moved } else { 0.0 }
            })
            .collect();
        item(&number.to_string(), first.map_or(Leak::None, |first| seen(&[first])), &scores)
    });
    Scored { items: items.collect(), checkpoints: checkpoints(&steps) }
}

/// Whether a count is within three standard deviations of what is expected of `CASES`.
fn is_expected(count: u64, probability: f64) -> bool {
    let (n, p) = (CASES as f64, probability);
    (count as f64 - n * p).abs() <= 3.0 * (n * p * (1.0 - p)).sqrt()
}

#[test]
fn without_an_effect_one_test_in_twenty_finds_one() {
    let (mut first, mut last, mut held) = (0, 0, 0);
    for case in 0..CASES {
        let found = compare(&simulated(case, 0.0, 0.0));
        let (of_first, of_last) = (found.first.unwrap(), found.last.unwrap());
        assert_eq!((of_first.leaked, of_first.clean, of_last.leaked), (LEAKED, CLEAN, LEAKED));
        first += u64::from(of_first.p <= 0.05);
        last += u64::from(of_last.p <= 0.05);
        held += u64::from(of_first.interval.is_some_and(|of| of.low <= 0.0 && 0.0 <= of.high));
    }
    assert!(is_expected(first, 0.05) && is_expected(last, 0.05), "{first} and {last} of {CASES}");
    assert!(is_expected(held, 0.95), "{held} of {CASES}");
}

#[test]
fn an_effect_is_found_whatever_its_direction_and_the_interval_holds_it() {
    // With a spread the effect is not the same for all items, so that leaked items vary more than clean ones.
    for (effect, spread) in [(4.0, 0.0), (-4.0, 0.0), (6.0, 2.0), (-6.0, 2.0)] {
        let (mut found, mut wrong, mut held, mut sum) = (0, 0, 0, 0.0);
        for case in 0..CASES {
            let last = compare(&simulated(5000 + case, effect, spread)).last.unwrap();
            found += u64::from(last.p <= 0.05 && last.mean * effect > 0.0);
            wrong += u64::from(last.p <= 0.05 && last.mean * effect < 0.0);
            held += u64::from(last.interval.is_some_and(|of| of.low <= effect && effect <= of.high));
            sum += last.mean;
        }
        assert!(found > CASES * 3 / 4 && wrong == 0, "{effect}: {found} found, {wrong} wrong");
        assert!(is_expected(held, 0.95), "{effect}: {held} of {CASES}");
        // The deviation of one mean is below 2.
        assert!((sum / CASES as f64 - effect).abs() < 8.0 / (CASES as f64).sqrt(), "{effect}: {}", sum / CASES as f64);
    }
}

/// By hand: clean items rise by 1 from checkpoint to checkpoint. `a` is first seen at step 10, whose checkpoint has it;
/// `b` after it.
#[test]
fn the_checkpoints_around_the_first_exposure() {
    let scored = Scored {
        checkpoints: checkpoints(&[0, 10, 20]),
        items: vec![
            item("a", seen(&[10, 15]), &[0.0, 3.0, 5.0]),
            item("b", seen(&[11]), &[0.0, 1.0, 1.0]),
            item("c", Leak::None, &[0.0, 1.0, 2.0]),
            item("d", Leak::None, &[4.0, 5.0, 6.0]),
        ],
    };
    let found = compare(&scored);
    let [a, b] = found.leaked.as_slice() else { panic!("{found:?}") };
    assert_eq!((a.before, a.after, a.last), (Some((Step(0), 0.0)), Some((Step(10), 3.0)), Some((Step(20), 5.0))));
    assert_eq!((a.change, a.last_change), (Some(2.0), Some(3.0)));
    assert_eq!((b.before, b.after), (Some((Step(10), 1.0)), Some((Step(20), 1.0))));
    assert_eq!((b.change, b.last_change), (Some(-1.0), Some(-1.0)));
    let (first, last) = (found.first.unwrap(), found.last.unwrap());
    assert_eq!((first.mean, first.rose, first.fell), (0.5, 1, 1));
    assert_eq!((last.mean, last.leaked, last.clean), (1.0, 2, 2));
    assert_eq!(first.arrangements, Arrangements::All(12));
    let at = |number: usize| {
        let at = &found.checkpoints[number];
        let group = |of: Option<retrace_analysis::exposure::Group>| of.map(|of| (of.items, of.mean));
        (group(at.clean), group(at.seen), group(at.unseen), at.difference)
    };
    assert_eq!(at(0), (Some((2, 2.0)), None, Some((2, 0.0)), None));
    assert_eq!(at(1), (Some((2, 3.0)), Some((1, 3.0)), Some((1, 1.0)), Some(0.0)));
    assert_eq!(at(2), (Some((2, 4.0)), Some((2, 3.0)), None, Some(-1.0)));
}

#[test]
fn what_cannot_be_compared_is_said() {
    let mut items = vec![
        item("never", seen(&[]), &[0.0, 1.0]),
        item("before", seen(&[5, 15]), &[0.0, 1.0]),
        item("after", seen(&[21]), &[0.0, 1.0]),
        item("unknown", Leak::PartlyKnown, &[0.0, 1.0]),
        item("unscored", seen(&[15]), &[0.0, f64::NAN]),
        item("good", seen(&[15]), &[0.0, 9.0]),
        item("clean", Leak::None, &[0.0, 1.0]),
        item("clean without a score", Leak::None, &[0.0, 1.0]),
    ];
    items[7].scores.pop();
    let scored = Scored { checkpoints: checkpoints(&[10, 20]), items };
    let found = compare(&scored);
    let why: Vec<_> = found.leaked.iter().map(|item| item.not_compared).collect();
    let expected = [
        Some(NotCompared::NeverSeen),
        Some(NotCompared::NoCheckpointBefore),
        Some(NotCompared::NoCheckpointAfter),
        Some(NotCompared::PartlyKnown),
        Some(NotCompared::NoScore),
        None,
    ];
    assert_eq!(why, expected);
    let first = found.first.unwrap();
    assert_eq!((first.leaked, first.clean, first.mean, first.interval), (1, 1, 8.0, None));
    assert_eq!(found.clean, 2);

    let without = |keep: &dyn Fn(&Item) -> bool| Scored {
        checkpoints: scored.checkpoints.clone(),
        items: scored.items.iter().filter(|item| keep(item)).cloned().collect(),
    };
    let found = compare(&without(&|item| item.leak != Leak::None));
    assert!(found.first.is_none() && found.last.is_none());
    assert_eq!(found.leaked[5].not_compared, Some(NotCompared::NoCleanItems));
    let found = compare(&without(&|item| item.leak == Leak::None));
    assert!(found.first.is_none() && found.leaked.is_empty());
    let found = compare(&Scored { checkpoints: Vec::new(), items: vec![item("x", seen(&[1]), &[])] });
    assert!(found.checkpoints.is_empty() && found.first.is_none());
}

/// Answers are 1 or 0, so that most changes are equal.
#[test]
fn equal_changes() {
    let scored = |leaked: &[[f64; 2]], clean: &[[f64; 2]]| Scored {
        checkpoints: checkpoints(&[0, 10]),
        items: (leaked.iter().map(|scores| item("x", seen(&[5]), scores)))
            .chain(clean.iter().map(|scores| item("y", Leak::None, scores)))
            .collect(),
    };
    let all = compare(&scored(&[[0.0, 1.0]; 3], &[[0.0, 1.0]; 4])).first.unwrap();
    assert_eq!((all.mean, all.p, all.rose, all.fell, all.interval), (0.0, 1.0, 0, 0, None));
    // Three items rise and four do not: 1 of 35 choices of three items has them all, so p is 2 in 35.
    let three = compare(&scored(&[[0.0, 1.0]; 3], &[[1.0, 1.0]; 4])).first.unwrap();
    assert_eq!((three.mean, three.rose), (1.0, 3));
    assert!((three.p - 2.0 / 35.0).abs() < 1e-15, "{}", three.p);
}

/// The twin's items are one lower everywhere, which the clean items show; what remains is the leak's.
#[test]
fn against_a_twin_the_runs_own_difference_is_taken_off() {
    let run = Scored {
        checkpoints: checkpoints(&[0, 10, 20]),
        items: vec![
            item("a", seen(&[10]), &[1.0, 5.0, 7.0]),
            item("b", seen(&[15]), &[1.0, 2.0, 6.0]),
            item("c", Leak::None, &[1.0, 2.0, 3.0]),
            item("d", Leak::None, &[1.0, 2.0, 3.5]),
            item("e", Leak::None, &[1.0, 2.0, 2.5]),
            item("not in the twin", Leak::None, &[1.0, 2.0, 100.0]),
        ],
    };
    let twin = Scored {
        // Not saved at step 20; at 25 the tokens are others.
        checkpoints: checkpoints(&[0, 10, 25]),
        items: ["a", "b", "c", "d", "e"].map(|id| item(id, seen(&[]), &[0.0, 1.0, 9.0])).to_vec(),
    };
    let found = compare_with_twin(&run, &twin);
    let at: Vec<_> =
        found.checkpoints.iter().map(|at| (at.checkpoint.step, at.seen, at.clean, at.difference)).collect();
    assert_eq!(at, [(Step(0), 0, 3, None), (Step(10), 1, 3, Some(3.0))]);
    let last = found.last.unwrap();
    assert_eq!((last.leaked, last.clean, last.mean), (1, 3, 3.0));
    // One of four items.
    assert_eq!((last.p, last.arrangements), (0.5, Arrangements::All(4)));
    assert!(compare_with_twin(&run, &Scored { checkpoints: Vec::new(), items: Vec::new() }).last.is_none());
}
