//! Kernels compared bit for bit with the contract as written: one number after another, in the order that the
//! documentation states. Another implementation of the contract should start with these tests.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use retrace_numerics::attention::Attention;
use retrace_numerics::cross_entropy::{Loss, Row};
use retrace_numerics::elementary;
use retrace_numerics::heads::{Heads, Order};
use retrace_numerics::random::Stream;

/// The contract's lane sum; `add` adds a term to a lane.
fn lane_sum(terms: usize, add: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0f32; 32];
    (0..terms).for_each(|i| lanes[i % 32] = add(i, lanes[i % 32]));
    for h in [16, 8, 4, 2, 1] {
        (0..h).for_each(|j| lanes[j] += lanes[j + h]);
    }
    lanes[0]
}

fn chain(terms: impl Iterator<Item = (f32, f32)>) -> f32 {
    terms.fold(0.0, |sum, (a, b)| a.mul_add(b, sum))
}

fn exp(x: f32) -> f32 {
    let mut value = [x];
    elementary::exp(&mut value);
    value[0]
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn normal(n: usize, seed: u64, name: &str) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Stream::new(seed, name).normal(0, 1.0, &mut values);
    values
}

/// Attention as documented, for one sequence: the output and, for `dy`, the gradient.
fn attention(kernel: &Attention, qkv: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let Heads { positions, heads, key_heads, size, order } = kernel.heads;
    let (row, group) = (kernel.heads.row(), heads / key_heads);
    let (query, key, value) = match order {
        Order::Grouped => ((0, size), (heads * size, size), ((heads + key_heads) * size, size)),
        Order::Interleaved => ((0, 3 * size), (size, 3 * size), (2 * size, 3 * size)),
    };
    let at =
        |place: (usize, usize), head: usize, position: usize, d: usize| position * row + place.0 + head * place.1 + d;
    let scale = (1.0 / (size as f64).sqrt()) as f32;
    let (mut out, mut dqkv) = (vec![0f32; positions * heads * size], vec![0f32; qkv.len()]);
    for head in 0..heads {
        let shared = head / group;
        for i in 0..positions {
            let scaled: Vec<f32> = (0..size).map(|d| qkv[at(query, head, i, d)] * scale).collect();
            let k = |j: usize, d: usize| qkv[at(key, shared, j, d)];
            let v = |j: usize, d: usize| qkv[at(value, shared, j, d)];
            let first = kernel.window.map_or(0, |window| (i + 1).saturating_sub(window));
            let seen: Vec<usize> = (first..=i).collect();
            let scores: Vec<f32> = seen.iter().map(|j| chain((0..size).map(|d| (scaled[d], k(*j, d))))).collect();
            let m = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let e: Vec<f32> = scores.iter().map(|s| exp(s - m)).collect();
            let r = 1.0 / lane_sum(e.len(), |n, lane| lane + e[n]);
            let y = |d: usize| (i * heads + head) * size + d;
            for d in 0..size {
                out[y(d)] = chain(seen.iter().zip(&e).map(|(j, e)| (*e, v(*j, d)))) * r;
            }
            let t = lane_sum(size, |d, lane| dy[y(d)].mul_add(out[y(d)], lane));
            let p: Vec<f32> = e.iter().map(|e| e * r).collect();
            let dp = |j: usize| chain((0..size).map(|d| (dy[y(d)], v(j, d))));
            let ds: Vec<f32> = seen.iter().zip(&p).map(|(j, p)| p * (dp(*j) - t)).collect();
            for d in 0..size {
                dqkv[at(query, head, i, d)] = chain(seen.iter().zip(&ds).map(|(j, ds)| (*ds, k(*j, d)))) * scale;
                // Heads and queries come in ascending order, so that each of these is its chain.
                for (n, j) in seen.iter().enumerate() {
                    let (dk, dv) = (at(key, shared, *j, d), at(value, shared, *j, d));
                    dqkv[dk] = ds[n].mul_add(scaled[d], dqkv[dk]);
                    dqkv[dv] = p[n].mul_add(dy[y(d)], dqkv[dv]);
                }
            }
        }
    }
    (out, dqkv)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn attention_is_as_written(
        positions in 1usize..140,
        (heads, key_heads) in prop::sample::select(vec![(1, 1), (4, 4), (4, 2), (3, 1), (6, 2)]),
        size in prop::sample::select(vec![2usize, 6, 16, 24, 33, 64]),
        window in prop::option::of(1usize..90),
        interleaved: bool,
        seed: u64,
    ) {
        let order = if interleaved && heads == key_heads { Order::Interleaved } else { Order::Grouped };
        let kernel = Attention { heads: Heads { positions, heads, key_heads, size, order }, window };
        let (qkv, dy) = (normal(positions * kernel.heads.row(), seed, "qkv"), normal(positions * heads * size, seed, "dy"));
        let (mut out, mut dqkv) = (vec![0.0; dy.len()], vec![0.0; qkv.len()]);
        let mut statistics = vec![0.0; kernel.statistics(positions)];
        kernel.forward(&qkv, &mut out, &mut statistics);
        kernel.backward(&qkv, &out, &statistics, &dy, &mut dqkv);
        let (expected, gradient) = attention(&kernel, &qkv, &dy);
        prop_assert_eq!(bits(&out), bits(&expected));
        prop_assert_eq!(bits(&dqkv), bits(&gradient));
    }

    #[test]
    fn cross_entropy_is_as_written(width in 1usize..300, seed: u64, z_weight in prop::sample::select(vec![0f32, 1e-2])) {
        let logits = normal(width, seed, "logits");
        let target = (seed % width as u64) as u32;
        let m = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let e: Vec<f32> = logits.iter().map(|x| exp(x - m)).collect();
        let s = lane_sum(width, |n, lane| lane + e[n]);
        let ln = libm::log(f64::from(s)) as f32;
        let l = m + ln;
        let mut rows = [Row::default()];
        let mut gradient = logits.clone();
        let scale = 0.125;
        Loss { z_weight }.backward(&mut gradient, width, &[Some(target)], scale, &mut rows);
        prop_assert_eq!(rows[0].loss.to_bits(), (ln - (logits[target as usize] - m)).to_bits());
        let expected: Vec<f32> = (0..width)
            .map(|c| {
                let p = e[c] / s;
                let hit = if c == target as usize { 1.0 } else { 0.0 };
                scale * ((2.0f32 * (z_weight * l)).mul_add(p, p) - hit)
            })
            .collect();
        prop_assert_eq!(bits(&gradient), bits(&expected));
    }
}
