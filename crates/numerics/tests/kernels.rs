//! Each kernel compared with the formula in binary64, each gradient with that formula's finite differences, and each
//! instruction set and thread count with the others, bit for bit.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use retrace_numerics::attention::Attention;
use retrace_numerics::cross_entropy::{Loss, Row};
use retrace_numerics::gelu::Gelu;
use retrace_numerics::heads::{Heads, Order};
use retrace_numerics::isa::{self, Isa};
use retrace_numerics::norm::{Gradients, Norm, Part};
use retrace_numerics::random::Stream;
use retrace_numerics::{adamw, elementary, elementwise, embedding, rope, swiglu};

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

/// Runs `kernel` with every instruction set of this machine and with 1, 2 and 5 threads.
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

/// Each row's part normalised by the formula in the papers.
fn norm_in_f64(x: &[f64], part: Part, root_mean_square: bool, weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    for x in x.chunks(part.row) {
        let mut y = x.to_vec();
        for vector in 0..part.vectors {
            let first = part.first + vector * part.width;
            let own = &x[first..first + part.width];
            let n = part.width as f64;
            let mean = if root_mean_square { 0.0 } else { own.iter().sum::<f64>() / n };
            let variance = own.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            for (c, x) in own.iter().enumerate() {
                y[first + c] = (x - mean) / (variance + 1e-5).sqrt() * weight[c] + bias[c];
            }
        }
        out.extend(y);
    }
    out
}

#[test]
fn norms_and_their_gradients() {
    let (rows, epsilon) = (7, 1e-5f32);
    let part = |first, width, vectors| Part { row: 50, first, width, vectors };
    for part in [Part::whole(37), part(5, 33, 1), part(5, 10, 4)] {
        let (x, dy) = (random(rows * part.row, "x"), random(rows * part.row, "dy"));
        let (weight, bias) = (random(part.width, "w"), random(part.width, "b"));
        let (ones, zeros) = (vec![1.0; part.width], vec![0.0; part.width]);
        let forms = [
            (Norm::Rms { weight: &weight, epsilon }, true, wide(&weight), zeros.clone()),
            (Norm::Layer { parameters: Some((&weight, &bias)), epsilon }, false, wide(&weight), wide(&bias)),
            (Norm::Layer { parameters: None, epsilon }, false, ones, zeros),
        ];
        for (norm, rms, w, b) in forms {
            let y = the_same_everywhere(|| {
                let mut y = x.clone();
                norm.forward(&x, part, &mut y);
                y
            });
            near(&y, &norm_in_f64(&wide(&x), part, rms, &w, &b), 1e-6);
            let inside = |at: usize| (part.first..part.first + part.elements()).contains(&(at % part.row));
            let (has_weight, has_bias) = match norm {
                Norm::Rms { .. } => (true, false),
                Norm::Layer { parameters, .. } => (parameters.is_some(), parameters.is_some()),
            };
            let gradients = the_same_everywhere(|| {
                let mut dx = vec![0.5; x.len()];
                let mut dweight = vec![f32::NAN; if has_weight { part.width } else { 0 }];
                let mut dbias = vec![f32::NAN; if has_bias { part.width } else { 0 }];
                let parameters = Gradients { weight: &mut dweight, bias: &mut dbias };
                norm.backward(&x, part, &dy, true, &mut dx, parameters);
                [dx, dweight, dbias].concat()
            });
            let mut expected = differences(&wide(&x), &wide(&dy), |x| norm_in_f64(x, part, rms, &w, &b));
            for (at, value) in expected.iter_mut().enumerate() {
                *value = if inside(at) { *value + 0.5 } else { 0.5 };
            }
            if has_weight {
                expected.extend(differences(&w, &wide(&dy), |w| norm_in_f64(&wide(&x), part, rms, w, &b)));
            }
            if has_bias {
                expected.extend(differences(&b, &wide(&dy), |b| norm_in_f64(&wide(&x), part, rms, &w, b)));
            }
            near(&gradients, &expected, 1e-5);
        }
    }
}

/// Vectors side by side are normalised, bit for bit, as if each was a row.
#[test]
fn vectors_side_by_side_are_rows() {
    let (rows, width, vectors, epsilon) = (5, 70, 3, 1e-5);
    let part = Part { row: 220, first: 7, width, vectors };
    let (x, dy, weight) = (random(rows * part.row, "x"), random(rows * part.row, "dy"), random(width, "w"));
    let norm = Norm::Rms { weight: &weight, epsilon };
    let normalise = |x: &[f32], dy: &[f32], part: Part| {
        let (mut y, mut dx, mut dweight) = (x.to_vec(), dy.to_vec(), vec![f32::NAN; width]);
        norm.forward(x, part, &mut y);
        norm.backward(x, part, dy, false, &mut dx, Gradients { weight: &mut dweight, bias: &mut [] });
        [y, dx, dweight]
    };
    let inside = |values: &[f32]| -> Vec<f32> {
        values.chunks(part.row).flat_map(|row| row[7..7 + vectors * width].to_vec()).collect()
    };
    let [y, dx, dweight] = normalise(&x, &dy, part);
    let apart = normalise(&inside(&x), &inside(&dy), Part::whole(width));
    assert_eq!([inside(&y), inside(&dx), dweight], apart);
}

#[test]
fn gelu_and_its_gradient() {
    let (mut x, dy) = (random(301, "x"), random(301, "dy"));
    x.iter_mut().for_each(|x| *x *= 3.0);
    let exact = |x: &[f64]| -> Vec<f64> { x.iter().map(|x| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()))).collect() };
    let tanh = |x: &[f64]| -> Vec<f64> {
        let u = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        x.iter().map(|x| 0.5 * x * (1.0 + u(*x).tanh())).collect()
    };
    for form in [Gelu::Exact, Gelu::Tanh] {
        let formula = |x: &[f64]| if form == Gelu::Exact { exact(x) } else { tanh(x) };
        let y = the_same_everywhere(|| {
            let mut y = vec![0.0; x.len()];
            form.forward(&x, &mut y);
            y
        });
        near(&y, &formula(&wide(&x)), 1e-6);
        let gradient = the_same_everywhere(|| {
            let mut dx = vec![0.0; x.len()];
            form.backward(&x, &dy, &mut dx);
            dx
        });
        near(&gradient, &differences(&wide(&x), &wide(&dy), formula), 1e-5);
    }
}

#[test]
fn clipping_and_dropout() {
    let (x, dy) = (random(1000, "x"), random(1000, "dy"));
    let clipped = the_same_everywhere(|| {
        let mut y = vec![0.0; x.len()];
        elementwise::clip(&x, 0.7, &mut y);
        let mut dx = dy.clone();
        elementwise::clip_backward(&x, 0.7, &mut dx);
        [y, dx].concat()
    });
    for (at, x) in x.iter().enumerate() {
        assert_eq!(clipped[at], x.clamp(-0.7, 0.7));
        assert_eq!(clipped[1000 + at], if x.abs() <= 0.7 { dy[at] } else { 0.0 });
    }
    let ones = vec![1.0; 100_003];
    let dropped = the_same_everywhere(|| {
        let mut y = ones.clone();
        elementwise::dropout(&mut y, 0.1, &Stream::new(1, "dropout"), 3, 5);
        y
    });
    let zeros = dropped.iter().filter(|y| **y == 0.0).count() as f64 / ones.len() as f64;
    // Four standard errors of a tenth.
    assert!((zeros - 0.1).abs() < 4.0 * (0.09 / ones.len() as f64).sqrt(), "{zeros}");
    assert!(dropped.iter().all(|y| *y == 0.0 || *y == 1.0 / 0.9));
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
    let gradient = the_same_everywhere(|| {
        let mut dx = vec![0.0; x.len()];
        swiglu::backward(&x, width, &dy, &mut dx);
        dx
    });
    near(&gradient, &differences(&wide(&x), &wide(&dy), formula), 1e-5);
}

#[test]
fn cross_entropy_and_its_gradient() {
    let (rows, width) = (5, 43);
    let logits = random(rows * width, "x");
    let targets = [Some(3u32), Some(0), None, Some(42), Some(17)];
    for z_weight in [0.0, 0.1f32] {
        let loss = Loss { z_weight };
        let formula = |logits: &[f64]| -> Vec<f64> {
            let rows = logits.chunks(width).zip(targets);
            rows.map(|(x, target)| {
                let log_z = x.iter().map(|x| x.exp()).sum::<f64>().ln();
                target.map_or(0.0, |t| log_z - x[t as usize] + f64::from(z_weight) * log_z * log_z)
            })
            .collect()
        };
        let sums = |rows: &[Row]| rows.iter().map(|row| row.loss + row.z_loss).collect::<Vec<_>>();
        let y = the_same_everywhere(|| {
            let mut out = vec![Row::default(); rows];
            loss.forward(&logits, width, &targets, &mut out);
            sums(&out)
        });
        near(&y, &formula(&wide(&logits)), 1e-6);
        let gradient = the_same_everywhere(|| {
            let (mut gradient, mut out) = (logits.clone(), vec![Row::default(); rows]);
            loss.backward(&mut gradient, width, &targets, 0.25, &mut out);
            assert_eq!(sums(&out), y);
            gradient
        });
        near(&gradient, &differences(&wide(&logits), &[0.25; 5], formula), 1e-5);
    }
}

/// The start of head h's query, key and value, computed independently.
type Places = fn(&Heads, usize) -> [usize; 3];

fn orders() -> [(Order, Places); 2] {
    let grouped = |heads: &Heads, h: usize| {
        let key = h * heads.key_heads / heads.heads;
        [h, heads.heads + key, heads.heads + heads.key_heads + key].map(|place| place * heads.size)
    };
    let interleaved = |heads: &Heads, h: usize| [3 * h, 3 * h + 1, 3 * h + 2].map(|place| place * heads.size);
    [(Order::Grouped, grouped), (Order::Interleaved, interleaved)]
}

#[test]
fn rope_turns_and_turns_back() {
    let (sequences, positions, size) = (2, 9, 10);
    for (order, places) in orders() {
        let key_heads = if order == Order::Grouped { 1 } else { 2 };
        let heads = Heads { positions, heads: 2, key_heads, size, order };
        for turned in [10, 4] {
            let x = random(sequences * positions * heads.row(), "x");
            let tables = rope::Tables::new(&rope::Tables::frequencies(10_000.0, turned), 1.5, positions + 3);
            assert_eq!(tables.positions(), positions + 3);
            let y = the_same_everywhere(|| {
                let mut y = x.clone();
                tables.turn(&mut y, &heads);
                y
            });
            // As complex numbers: 1.5·(x1 + i·x2) · exp(i·angle); all other elements are unchanged.
            let mut reference = wide(&x);
            for (at, row) in reference.chunks_mut(heads.row()).enumerate() {
                let mut begun: Vec<usize> = (0..2).flat_map(|h| places(&heads, h)[..2].to_vec()).collect();
                begun.sort_unstable();
                begun.dedup();
                for place in begun {
                    for pair in 0..turned / 2 {
                        let angle = (at % positions) as f64 * 10_000f64.powf(-2.0 * pair as f64 / turned as f64);
                        let (x1, x2) = (row[place + pair], row[place + pair + turned / 2]);
                        row[place + pair] = 1.5 * (x1 * angle.cos() - x2 * angle.sin());
                        row[place + pair + turned / 2] = 1.5 * (x1 * angle.sin() + x2 * angle.cos());
                    }
                }
            }
            near(&y, &reference, 1e-6);
            let tables = rope::Tables::new(&rope::Tables::frequencies(10_000.0, turned), 1.0, positions);
            let mut back = x.clone();
            tables.turn(&mut back, &heads);
            tables.turn_back(&mut back, &heads);
            near(&back, &wide(&x), 1e-6);
        }
    }
}

fn attention_in_f64(qkv: &[f64], attention: Attention, places: Places) -> Vec<f64> {
    let heads = attention.heads;
    let (row, size) = (heads.row(), heads.size);
    let mut out = vec![];
    for sequence in qkv.chunks(heads.positions * row) {
        for i in 0..heads.positions {
            for head in 0..heads.heads {
                let [query, key, value] = places(&heads, head);
                let at = |position: usize, place: usize, d: usize| sequence[position * row + place + d];
                let score = |j| (0..size).map(|d| at(i, query, d) * at(j, key, d)).sum::<f64>() / (size as f64).sqrt();
                let seen = |j: &usize| attention.window.is_none_or(|window| i - j < window);
                let weights: Vec<(usize, f64)> = (0..=i).filter(seen).map(|j| (j, score(j).exp())).collect();
                let z: f64 = weights.iter().map(|(_, weight)| weight).sum();
                out.extend((0..size).map(|d| weights.iter().map(|(j, w)| w / z * at(*j, value, d)).sum::<f64>()));
            }
        }
    }
    out
}

#[test]
fn attention_and_its_gradient() {
    let (grouped, interleaved) = (orders()[0], orders()[1]);
    for (sequences, positions, heads, key_heads, size, window, (order, places)) in [
        (1, 1, 1, 1, 2, None, grouped),
        (2, 5, 4, 2, 6, None, grouped),
        (1, 19, 3, 1, 4, Some(7), grouped),
        (1, 17, 2, 2, 34, None, interleaved),
        (1, 70, 2, 1, 2, None, grouped),
        (2, 61, 2, 2, 3, Some(20), interleaved),
        (1, 110, 1, 1, 2, Some(50), grouped),
        (1, 110, 1, 1, 1, Some(1), grouped),
        (1, 3, 2, 1, 300, None, grouped),
    ] {
        let attention = Attention { heads: Heads { positions, heads, key_heads, size, order }, window };
        let rows = sequences * positions;
        let (qkv, dy) = (random(rows * attention.heads.row(), "qkv"), random(rows * heads * size, "dy"));
        let forward = || {
            let (mut y, mut statistics) = (vec![0.0; dy.len()], vec![0.0; attention.statistics(rows)]);
            attention.forward(&qkv, &mut y, &mut statistics);
            (y, statistics)
        };
        let y = the_same_everywhere(|| forward().0);
        let reference = |qkv: &[f64]| attention_in_f64(qkv, attention, places);
        near(&y, &reference(&wide(&qkv)), 2e-6);
        let gradient = the_same_everywhere(|| {
            let ((y, statistics), mut dqkv) = (forward(), vec![0.0; qkv.len()]);
            attention.backward(&qkv, &y, &statistics, &dy, &mut dqkv);
            dqkv
        });
        near(&gradient, &differences(&wide(&qkv), &wide(&dy), reference), 2e-5);
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
    let mut gradient = vec![0.0; table.len()];
    embedding::backward(width, &ids, &dy, &mut gradient);
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
