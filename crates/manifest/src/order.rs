//! In which order the steps of a manifest can be done: each after those that make what it reads.

use std::collections::BTreeMap;

use retrace_spec::RelPath;
use retrace_spec::manifest::GraphStep;

/// An order of steps, each given by its place in the list that was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Every step, after those that make what it reads; within a circle, in some order.
    pub steps: Vec<usize>,
    /// The circles: steps that need what they make themselves, by way of each other. A step alone is
    /// one if it reads what it makes. Ascending, and so is each.
    pub circles: Vec<Vec<usize>>,
}

impl Order {
    /// The order of `steps`, by the files that they read and make.
    pub fn of(steps: &[GraphStep]) -> Self {
        let maker: BTreeMap<&RelPath, usize> =
            (0..).zip(steps).flat_map(|(at, step)| step.outputs.iter().map(move |o| (&o.path, at))).collect();
        let needs: Vec<Vec<usize>> = steps
            .iter()
            .map(|step| {
                let mut needs: Vec<usize> =
                    step.inputs.iter().filter_map(|input| maker.get(&input.path).copied()).collect();
                needs.sort_unstable();
                needs.dedup();
                needs
            })
            .collect();
        Self::of_needs(&needs)
    }

    /// The order of steps of which each needs those that are listed for it, by their places; in time that
    /// grows with the lists (Kosaraju and Sharir).
    pub fn of_needs(needs: &[Vec<usize>]) -> Self {
        let mut needed_by = vec![Vec::new(); needs.len()];
        for (at, needs) in needs.iter().enumerate() {
            needs.iter().for_each(|need: &usize| needed_by[*need].push(at));
        }
        let ordered = trees(needs, 0..needs.len()).concat();
        let mut circles = trees(&needed_by, ordered.iter().rev().copied());
        circles.retain(|tree| tree.len() > 1 || tree.iter().any(|at| needs[*at].contains(at)));
        circles.iter_mut().for_each(|circle| circle.sort_unstable());
        circles.sort_unstable();
        Self { steps: ordered, circles }
    }
}

/// The steps of a circle, by their ids: the first few, and how many more.
pub fn circle_in_words(circle: &[usize], steps: &[GraphStep]) -> String {
    const MOST: usize = 8;
    let ids: Vec<&str> = circle.iter().take(MOST).map(|at| steps[*at].id.as_str()).collect();
    let more = circle.len().saturating_sub(MOST);
    ids.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// A tree for each of `roots` that no earlier one has reached: what is reached from there along `edges`,
/// each node after those that it leads to.
fn trees(edges: &[Vec<usize>], roots: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
    let mut reached = vec![false; edges.len()];
    let mut trees = Vec::new();
    for root in roots {
        if std::mem::replace(&mut reached[root], true) {
            continue;
        }
        // Not by recursion: a chain of steps may be longer than the stack is deep.
        let (mut tree, mut path) = (Vec::new(), vec![(root, 0)]);
        while let Some((at, next)) = path.last_mut() {
            if let Some(to) = edges[*at].get(*next).copied() {
                *next += 1;
                if !std::mem::replace(&mut reached[to], true) {
                    path.push((to, 0));
                }
            } else {
                tree.push(*at);
                path.pop();
            }
        }
        trees.push(tree);
    }
    trees
}

#[cfg(test)]
mod tests {
    use super::*;
    use retrace_spec::Digest;
    use retrace_spec::manifest::{ArtifactKind, Output, Reference, StepKind};

    fn step(reads: &[&str], makes: &[&str]) -> GraphStep {
        let (path, digest) = (|path: &&str| path.parse().unwrap(), Digest::of(b""));
        GraphStep {
            id: String::new(),
            kind: StepKind::Clean,
            numerics: None,
            config: None,
            inputs: reads.iter().map(|read| Reference { path: path(read), digest }).collect(),
            outputs: makes.iter().map(|made| Output { path: path(made), kind: ArtifactKind::Shard, digest }).collect(),
        }
    }

    #[test]
    fn each_step_comes_after_those_that_it_needs() {
        let steps = [step(&["b", "c"], &["d"]), step(&["a"], &["b"]), step(&["raw"], &["a", "c"])];
        assert_eq!(Order::of(&steps), Order { steps: vec![2, 1, 0], circles: vec![] });
    }

    #[test]
    fn circles_are_told_apart_from_what_lies_between_and_behind_them() {
        let steps = [
            step(&["x"], &["x"]),             // by itself
            step(&["b"], &["a"]),             // with the next
            step(&["a"], &["b"]),             //
            step(&["b"], &["between"]),       // between two circles
            step(&["between", "d"], &["c"]),  // with the next
            step(&["c"], &["d"]),             //
            step(&["d", "raw"], &["behind"]), //
        ];
        let order = Order::of(&steps);
        assert_eq!(order.circles, [vec![0], vec![1, 2], vec![4, 5]]);
        let place = |step: usize| order.steps.iter().position(|at| *at == step).unwrap();
        assert!(place(2) < place(3) && place(3) < place(4) && place(5) < place(6), "{:?}", order.steps);
        assert_eq!(order.steps.len(), steps.len());
    }

    #[test]
    fn a_long_chain_takes_no_deep_stack_and_linear_time() {
        let name = |at: usize| format!("f{at:06}");
        // The last first, so that each leads to all before it.
        let mut steps: Vec<GraphStep> = (0..100_000).rev().map(|at| step(&[&name(at)], &[&name(at + 1)])).collect();
        let order = Order::of(&steps);
        assert_eq!((order.steps.first(), order.circles.len()), (Some(&99_999), 0));
        steps[0].outputs[0].path = name(0).parse().unwrap();
        assert_eq!(Order::of(&steps).circles, [(0..100_000).collect::<Vec<_>>()]);
    }
}
