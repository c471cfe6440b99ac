//! The largest singular value of a matrix.

use rayon::prelude::*;
use retrace_numerics::random::Stream;

/// The number of rows whose products are added by one thread. It determines the order of addition.
const ROWS: usize = 64;
/// Steps of the iteration, unless the matrix is smaller.
const STEPS: usize = 32;

/// The largest singular value of the matrix of `rows` × `columns` numbers in row-major order: the square root of the
/// largest Ritz value of 32 steps of the Lanczos iteration on AᵀA, with full reorthogonalisation, from a normal vector
/// (Golub & Van Loan, Matrix Computations, §10.1 and §10.4). Apart from rounding it is never above the true value; how
/// far below depends on the gap between the largest ones: for a matrix of independent normal numbers, where the gap is
/// smallest, by less than 1 %.
pub fn largest_singular_value(values: &[f32], rows: usize, columns: usize) -> f64 {
    let steps = STEPS.min(columns).min(rows);
    let mut start = vec![0f32; columns];
    Stream::new(0, "largest singular value").normal(0, 1.0, &mut start);
    let mut basis = vec![unit(start.iter().map(|x| f64::from(*x)).collect()).0];
    let (mut diagonal, mut off) = (Vec::new(), Vec::new());
    while let Some(last) = basis.last()
        && diagonal.len() < steps
    {
        let mut next = gram(values, columns, last);
        diagonal.push(dot(&next, last));
        for _ in 0..2 {
            for vector in &basis {
                let along = dot(&next, vector);
                next.iter_mut().zip(vector).for_each(|(x, v)| *x -= along * v);
            }
        }
        let (next, length) = unit(next);
        // The space is exhausted: the largest value is among those found.
        let all: f64 = diagonal.iter().sum();
        if length.is_nan() || length <= all * 1e-14 {
            break;
        }
        off.push(length);
        basis.push(next);
    }
    largest_eigenvalue(&diagonal, &off[..diagonal.len().saturating_sub(1)]).max(0.0).sqrt()
}

/// AᵀA times `x`, in blocks of rows.
fn gram(values: &[f32], columns: usize, x: &[f64]) -> Vec<f64> {
    let block = |rows: &[f32]| {
        let mut sum = vec![0.0; columns];
        for row in rows.chunks_exact(columns) {
            let along = lanes(row, x);
            sum.iter_mut().zip(row).for_each(|(sum, a)| *sum += along * f64::from(*a));
        }
        sum
    };
    let blocks: Vec<Vec<f64>> = values.par_chunks(ROWS * columns.max(1)).map(block).collect();
    let mut sum = vec![0.0; columns];
    for block in blocks {
        sum.iter_mut().zip(block).for_each(|(sum, part)| *sum += part);
    }
    sum
}

fn lanes(row: &[f32], x: &[f64]) -> f64 {
    let mut lanes = [0f64; 8];
    let ((a, rest_a), (x, rest_x)) = (row.as_chunks::<8>(), x.as_chunks::<8>());
    for (a, x) in a.iter().zip(x) {
        for lane in 0..8 {
            lanes[lane] += f64::from(a[lane]) * x[lane];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_x).map(|(a, x)| f64::from(*a) * x).sum();
    lanes.iter().sum::<f64>() + rest
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The vector normalised to length 1, and its length.
fn unit(mut vector: Vec<f64>) -> (Vec<f64>, f64) {
    let length = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    (vector, length)
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection: the number of eigenvalues above a number is
/// the number of negative pivots after the shift by it (Golub & Van Loan, §8.4.1).
fn largest_eigenvalue(diagonal: &[f64], off: &[f64]) -> f64 {
    let radius = |i: usize| {
        off.get(i).map_or(0.0, |x| x.abs()) + i.checked_sub(1).and_then(|i| off.get(i)).map_or(0.0, |x| x.abs())
    };
    let mut high = (0..diagonal.len()).map(|i| diagonal[i] + radius(i)).fold(f64::NEG_INFINITY, f64::max);
    let mut low = diagonal.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let any_above = |x: f64| {
        let mut pivot = 1.0;
        diagonal.iter().enumerate().any(|(i, d)| {
            let before = if i == 0 { 0.0 } else { off[i - 1] * off[i - 1] / pivot };
            pivot = x - d - before;
            pivot < 0.0
        })
    };
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if any_above(middle) { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(seed: u64, n: usize) -> Vec<f32> {
        let mut values = vec![0f32; n];
        Stream::new(seed, "matrix").normal(0, 1.0, &mut values);
        values
    }

    #[test]
    fn matrices_whose_value_is_known() {
        assert_eq!(largest_singular_value(&[3.0, 0.0, 0.0, -4.0], 2, 2), 4.0);
        assert_eq!(largest_singular_value(&[0.0; 6], 2, 3), 0.0);
        // [[1, 1], [0, 1]]: the golden ratio.
        assert!((largest_singular_value(&[1.0, 1.0, 0.0, 1.0], 2, 2) - 1.618_033_988_749_895).abs() < 1e-12);
        // An outer product: the product of the lengths.
        let (a, b) = (normal(1, 300), normal(2, 70));
        let outer: Vec<f32> = a.iter().flat_map(|a| b.iter().map(move |b| a * b)).collect();
        let length = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let (found, expected) = (largest_singular_value(&outer, 300, 70), length(&a) * length(&b));
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    }

    /// For a normal matrix it is √m + √n, except for terms that shrink with the size (Marchenko & Pastur, 1967); for a
    /// diagonal one, from its entries, in any order.
    #[test]
    fn large_matrices() {
        let found = largest_singular_value(&normal(3, 600 * 400), 600, 400);
        let expected = 600f64.sqrt() + 400f64.sqrt();
        assert!((found / expected - 1.0).abs() < 0.02, "{found} {expected}");
        let n = 120;
        let mut diagonal = vec![0f32; n * n];
        (0..n).for_each(|i| diagonal[i * n + i] = 1.0 + ((i * 37) % n) as f32);
        let found = largest_singular_value(&diagonal, n, n);
        assert!((found - 120.0).abs() < 0.6 && found <= 120.0 + 1e-9, "{found}");
    }
}
