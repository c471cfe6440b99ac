//! Each kernel against the formula in binary64, each gradient against that formula's finite
//! differences, and each instruction set and thread count against the others, bit for bit.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use retrace_numerics::isa::{self, Isa};
use retrace_numerics::random::Stream;
use retrace_numerics::{adamw, attention, cross_entropy, elementary, embedding, rms_norm, rope, swiglu};

fn random(n: usize, name: &str) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Stream::new(11, name).normal(0, 1.0, &mut values);
    values
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

#[track_caller]
fn near(ours: &[f32], reference: &[f64], bound: f64) {
    assert_eq!(ours.len(), reference.len());
    let size = reference.iter().fold(1e-30f64, |most, r| most.max(r.abs()));
    for (at, (ours, reference)) in ours.iter().zip(reference).enumerate() {
        let off = (f64::from(*ours) - reference).abs() / size;
        assert!(off <= bound, "element {at}: {ours} against {reference}, {off:e} of the largest");
    }
}

/// d/dx of sum(dy · f(x)) by central differences, in binary64.
fn differences(x: &[f64], dy: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let mut x = x.to_vec();
    let step = 1e-5;
    (0..x.len())
        .map(|at| {
            let here = x[at];
            let mut value = |x_at| {
                x[at] = x_at;
                f(&x).iter().zip(dy).map(|(y, dy)| y * dy).sum::<f64>()
            };
            let slope = (value(here + step) - value(here - step)) / (2.0 * step);
            x[at] = here;
            slope
        })
        .collect()
}

/// Runs `kernel` under every instruction set here and with 1, 2 and 5 threads.
#[track_caller]
fn the_same_everywhere(kernel: impl Fn() -> Vec<f32> + Sync) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    for set in Isa::ALL.into_iter().filter(|set| set.is_here()) {
        for threads in [1, 2, 5] {
            assert!(isa::force(set));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let now = pool.install(&kernel);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            match &first {
                Some(first) => assert_eq!(bits(first), bits(&now), "{} with {threads} threads", set.name()),
                None => first = Some(now),
            }
        }
    }
    first.unwrap()
}

#[test]
fn exp_is_the_same_everywhere() {
    let mut x = random(1001, "x");
    x.iter_mut().for_each(|x| *x *= 40.0);
    x.extend([0.0, -0.0, 1e-40, -1e-40, f32::INFINITY, f32::NEG_INFINITY, -103.5, 88.7, 89.5]);
    the_same_everywhere(|| {
        let mut y = x.clone();
        elementary::exp(&mut y);
        y
    });
}

#[test]
fn rms_norm_and_its_gradient() {
    let (rows, width, epsilon) = (7, 37, 1e-5f32);
    let (x, weight, dy) = (random(rows * width, "x"), random(width, "w"), random(rows * width, "dy"));
    let formula = |x: &[f64], weight: &[f64]| -> Vec<f64> {
        x.chunks(width)
            .flat_map(|x| {
                let mean = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
                let scale = 1.0 / (mean + f64::from(epsilon)).sqrt();
                x.iter().zip(weight).map(move |(x, w)| x * scale * w).collect::<Vec<_>>()
            })
            .collect()
    };
    let y = the_same_everywhere(|| {
        let mut y = vec![0.0; x.len()];
        rms_norm::forward(&x, &weight, epsilon, &mut y);
        y
    });
    near(&y, &formula(&wide(&x), &wide(&weight)), 1e-6);
    let gradients = the_same_everywhere(|| {
        let (dx, dweight) = rms_norm::backward(&x, &weight, epsilon, &dy);
        [dx, dweight].concat()
    });
    near(&gradients[..x.len()], &differences(&wide(&x), &wide(&dy), |x| formula(x, &wide(&weight))), 1e-5);
    near(&gradients[x.len()..], &differences(&wide(&weight), &wide(&dy), |w| formula(&wide(&x), w)), 1e-5);
}

#[test]
fn swiglu_and_its_gradient() {
    let (rows, width) = (9, 37);
    let (x, dy) = (random(rows * 2 * width, "x"), random(rows * width, "dy"));
    let formula = |x: &[f64]| -> Vec<f64> {
        x.chunks(2 * width).flat_map(|x| (0..width).map(|c| x[c] / (1.0 + (-x[c]).exp()) * x[width + c])).collect()
    };
    let y = the_same_everywhere(|| {
        let mut y = vec![0.0; rows * width];
        swiglu::forward(&x, width, &mut y);
        y
    });
    near(&y, &formula(&wide(&x)), 1e-6);
    let gradient = the_same_everywhere(|| swiglu::backward(&x, width, &dy));
    near(&gradient, &differences(&wide(&x), &wide(&dy), formula), 1e-5);
}

#[test]
fn cross_entropy_and_its_gradient() {
    let (rows, width) = (5, 43);
    let (logits, dy) = (random(rows * width, "x"), random(rows, "dy"));
    let targets = [3u32, 0, 42, 17, 17];
    let formula = |logits: &[f64]| -> Vec<f64> {
        let rows = logits.chunks(width).zip(targets);
        rows.map(|(x, target)| x.iter().map(|x| x.exp()).sum::<f64>().ln() - x[target as usize]).collect()
    };
    let y = the_same_everywhere(|| {
        let mut y = vec![0.0; rows];
        cross_entropy::forward(&logits, width, &targets, &mut y);
        y
    });
    near(&y, &formula(&wide(&logits)), 1e-6);
    let gradient = the_same_everywhere(|| cross_entropy::backward(&logits, width, &targets, &dy));
    near(&gradient, &differences(&wide(&logits), &wide(&dy), formula), 1e-5);
}

#[test]
fn rope_turns_and_turns_back() {
    let (sequences, positions, heads, size, row) = (2, 9, 3, 10, 37);
    let x = random(sequences * positions * row, "x");
    let tables = rope::Tables::new(10_000.0, size, positions + 3);
    assert_eq!(tables.positions(), positions + 3);
    let y = the_same_everywhere(|| {
        let mut y = vec![0.0; x.len()];
        tables.turn(&x, heads, row, positions, &mut y);
        y
    });
    // As complex numbers: (x1 + i·x2) · exp(i·angle); what lies beyond the heads stays.
    let mut reference = wide(&x);
    for (at, value) in reference.iter_mut().enumerate().filter(|(at, _)| at % row < heads * size) {
        let (position, d) = (at / row % positions, at % row % size);
        let (head, pair) = (at - d, d % (size / 2));
        let angle = position as f64 * 10_000f64.powf(-2.0 * pair as f64 / size as f64);
        let (x1, x2) = (f64::from(x[head + pair]), f64::from(x[head + pair + size / 2]));
        *value = if d < size / 2 { x1 * angle.cos() - x2 * angle.sin() } else { x1 * angle.sin() + x2 * angle.cos() };
    }
    near(&y, &reference, 1e-6);
    let mut back = vec![0.0; x.len()];
    tables.turn_back(&y, heads, row, positions, &mut back);
    near(&back, &wide(&x), 1e-6);
}

fn attention_in_f64(qkv: &[f64], shape: attention::Shape) -> Vec<f64> {
    let attention::Shape { positions, heads, key_heads, size } = shape;
    let row = shape.row();
    let mut out = vec![];
    for sequence in qkv.chunks(positions * row) {
        for i in 0..positions {
            for head in 0..heads {
                let key_head = head * key_heads / heads;
                let q = |d: usize| sequence[i * row + head * size + d];
                let k = |j: usize, d: usize| sequence[j * row + (heads + key_head) * size + d];
                let v = |j: usize, d: usize| sequence[j * row + (heads + key_heads + key_head) * size + d];
                let score = |j| (0..size).map(|d| q(d) * k(j, d)).sum::<f64>() / (size as f64).sqrt();
                let weights: Vec<f64> = (0..=i).map(|j| score(j).exp()).collect();
                let z: f64 = weights.iter().sum();
                out.extend((0..size).map(|d| (0..=i).map(|j| weights[j] / z * v(j, d)).sum::<f64>()));
            }
        }
    }
    out
}

#[test]
fn attention_and_its_gradient() {
    for (sequences, positions, heads, key_heads, size) in
        [(1, 1, 1, 1, 2), (2, 5, 4, 2, 6), (1, 19, 3, 1, 4), (1, 17, 2, 2, 34), (1, 70, 2, 1, 2)]
    {
        let shape = attention::Shape { positions, heads, key_heads, size };
        let (qkv, dy) =
            (random(sequences * positions * shape.row(), "qkv"), random(sequences * positions * heads * size, "dy"));
        let y = the_same_everywhere(|| attention::forward(&qkv, shape));
        near(&y, &attention_in_f64(&wide(&qkv), shape), 2e-6);
        let gradient = the_same_everywhere(|| attention::backward(&qkv, shape, &dy));
        near(&gradient, &differences(&wide(&qkv), &wide(&dy), |qkv| attention_in_f64(qkv, shape)), 1e-5);
    }
}

#[test]
fn embedding_and_its_gradient() {
    let (rows, width) = (6, 5);
    let table = random(rows * width, "table");
    let ids = [4u32, 0, 4, 5];
    let dy = random(ids.len() * width, "dy");
    let mut y = vec![0.0; ids.len() * width];
    embedding::forward(&table, width, &ids, &mut y);
    assert_eq!(&y[2 * width..3 * width], &table[4 * width..5 * width]);
    let gradient = embedding::backward(rows, width, &ids, &dy);
    let formula = |table: &[f64]| ids.iter().flat_map(|id| table[*id as usize * width..][..width].to_vec()).collect();
    near(&gradient, &differences(&wide(&table), &wide(&dy), formula), 1e-5);
}

#[test]
fn adamw_follows_the_paper() {
    let n = 100;
    let gradients: Vec<Vec<f32>> = (0..5).map(|t| random(n, &format!("g{t}"))).collect();
    let (rate, decay, beta1, beta2, epsilon, scale) = (1e-2, 0.1, 0.9, 0.95, 1e-8, 0.5);
    let weights = the_same_everywhere(|| {
        let (mut w, mut m, mut v) = (random(n, "w"), vec![0.0; n], vec![0.0; n]);
        for (t, g) in gradients.iter().enumerate() {
            let h = adamw::Hyperparameters {
                beta1,
                beta2,
                epsilon,
                learning_rate: rate,
                weight_decay: decay,
                gradient_scale: scale,
            };
            adamw::Update::new(h, t as u64 + 1).apply(&mut w, &mut m, &mut v, g);
        }
        w
    });
    // Algorithm 2 of the paper, in binary64.
    let (mut w, mut m, mut v) = (wide(&random(n, "w")), vec![0.0; n], vec![0.0; n]);
    for (t, g) in gradients.iter().enumerate() {
        for i in 0..n {
            let g = f64::from(g[i]) * scale;
            m[i] = beta1 * m[i] + (1.0 - beta1) * g;
            v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
            let (m_hat, v_hat) = (m[i] / (1.0 - beta1.powi(t as i32 + 1)), v[i] / (1.0 - beta2.powi(t as i32 + 1)));
            w[i] -= rate * (m_hat / (v_hat.sqrt() + epsilon) + decay * w[i]);
        }
    }
    near(&weights, &w, 1e-6);
}
