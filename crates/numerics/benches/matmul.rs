//! Matrix products with the shapes of a small model, in GFLOP/s. The numbers of other programs come from
//! `benches/peers`, run in the same minute. Argument: threads.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench, not the product")]

use std::time::Instant;

use retrace_numerics::matmul::{Matrix, Target, matmul};

fn main() {
    let threads = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    for (m, k, n) in [(2048, 256, 1024), (2048, 1024, 256), (1024, 1024, 1024), (256, 1024, 2048)] {
        let (a, b, mut out) = (vec![1.0; m * k], vec![0.5; k * n], vec![0.0; m * n]);
        let (began, mut best) = (Instant::now(), f64::MAX);
        while began.elapsed().as_secs_f64() < 0.7 {
            let now = Instant::now();
            matmul(Matrix::new(&a, m, k), Matrix::new(&b, k, n), Target::new(&mut out, m, n));
            best = best.min(now.elapsed().as_secs_f64());
        }
        println!("{m}x{k}x{n}: {:.1}", 2.0 * (m * k * n) as f64 / best / 1e9);
    }
}
