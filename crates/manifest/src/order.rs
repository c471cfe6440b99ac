//! In which order the steps of a manifest can be run: each after the steps that make its inputs.

use std::collections::BTreeMap;

use retrace_spec::RelPath;
use retrace_spec::manifest::GraphStep;

/// An order of steps, each given by its index in the list of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Every step, after those that make its inputs; within a cycle, in an arbitrary order.
    pub steps: Vec<usize>,
    /// The cycles: steps that depend on their own outputs through each other. A single step is one if it reads its own
    /// output. The list and each cycle are sorted in ascending order.
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

    /// The order of steps, where each needs those that are listed for it by their indices; in time linear in the
    /// lists' length (Kosaraju and Sharir).
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

/// The steps of a cycle, by their ids: the first few, and how many more.
pub fn circle_in_words(circle: &[usize], steps: &[GraphStep]) -> String {
    const MOST: usize = 8;
    let ids: Vec<&str> = circle.iter().take(MOST).map(|at| steps[*at].id.as_str()).collect();
    let more = circle.len().saturating_sub(MOST);
    ids.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// A tree for each of `roots` that no earlier one has reached: the nodes that are reached from it along `edges`, each
/// node after its successors.
fn trees(edges: &[Vec<usize>], roots: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
    let mut reached = vec![false; edges.len()];
    let mut trees = Vec::new();
    for root in roots {
        if std::mem::replace(&mut reached[root], true) {
            continue;
        }
        // Without recursion: a chain of steps may be longer than the stack allows.
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
            incomplete: None,
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
        // In reverse order, so that each leads to all before it.
        let mut steps: Vec<GraphStep> = (0..100_000).rev().map(|at| step(&[&name(at)], &[&name(at + 1)])).collect();
        let order = Order::of(&steps);
        assert_eq!((order.steps.first(), order.circles.len()), (Some(&99_999), 0));
        steps[0].outputs[0].path = name(0).parse().unwrap();
        assert_eq!(Order::of(&steps).circles, [(0..100_000).collect::<Vec<_>>()]);
    }
}
