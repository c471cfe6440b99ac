//! BFGS, with a line search that can pass the kinks of losses that are nearly absolute values.

/// A local minimum, as far as a search came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minimum<const W: usize> {
    /// Its position.
    pub(super) at: [f64; W],
    /// The function's value there.
    pub(super) value: f64,
}

/// When a search ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// The decrease of the value in one update that counts as none: `relative` of the value plus `absolute`.
    pub(super) relative: f64,
    /// See `relative`.
    pub(super) absolute: f64,
    /// The number of such updates in a row after which it ends.
    pub(super) still: usize,
    /// The largest number of updates.
    pub(super) updates: usize,
}

/// Steps of a line search: enough to halve a step down to rounding precision.
const HALVINGS: usize = 40;

/// Minimises from `start`. `inverse` is the first inverse of the Hessian, if one is known. The function returns its
/// value and gradient; a point where either is not finite counts as infinitely high.
///
/// BFGS as in Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 6.1, with the weak
/// Wolfe line search by bisection of Lewis and Overton (Nonsmooth optimization via quasi-Newton
/// methods, 2013), which needs no smoothness.
pub(super) fn minimise<const W: usize>(
    function: &impl Fn(&[f64; W]) -> (f64, [f64; W]),
    start: [f64; W],
    inverse: Option<[[f64; W]; W]>,
    stop: Stop,
) -> Option<Minimum<W>> {
    let mut at = start;
    let (mut value, mut gradient) = function(&at);
    if !finite(value, &gradient) {
        return None;
    }
    let mut scaled = inverse.is_some();
    let mut inverse = inverse.unwrap_or_else(|| identity(1.0));
    let mut still = 0;
    for _ in 0..stop.updates {
        let mut direction = times(&inverse, &gradient).map(|d| -d);
        if dot(&direction, &gradient) >= 0.0 {
            inverse = identity(1.0);
            scaled = false;
            direction = gradient.map(|g| -g);
        }
        let Some((next, next_value, next_gradient)) = search(function, &at, value, &gradient, &direction) else {
            break;
        };
        let moved: [f64; W] = core::array::from_fn(|i| next[i] - at[i]);
        let turned: [f64; W] = core::array::from_fn(|i| next_gradient[i] - gradient[i]);
        let curvature = dot(&moved, &turned);
        if curvature > 1e-300 {
            if !scaled {
                inverse = identity(curvature / dot(&turned, &turned));
                scaled = true;
            }
            update(&mut inverse, &moved, &turned, curvature);
        }
        let little = stop.relative * next_value.abs() + stop.absolute;
        still = if value - next_value <= little { still + 1 } else { 0 };
        (at, value, gradient) = (next, next_value, next_gradient);
        if still >= stop.still {
            break;
        }
    }
    Some(Minimum { at, value })
}

/// A point along `direction` that is lower and where the slope is flatter; if there is none, one that is only lower.
fn search<const W: usize>(
    function: &impl Fn(&[f64; W]) -> (f64, [f64; W]),
    at: &[f64; W],
    value: f64,
    gradient: &[f64; W],
    direction: &[f64; W],
) -> Option<([f64; W], f64, [f64; W])> {
    let slope = dot(gradient, direction);
    let (mut low, mut high, mut step) = (0.0, f64::INFINITY, 1.0);
    let mut lower = None;
    for _ in 0..HALVINGS {
        let next: [f64; W] = core::array::from_fn(|i| at[i] + step * direction[i]);
        let (next_value, next_gradient) = function(&next);
        if !finite(next_value, &next_gradient) || next_value > value + 1e-4 * step * slope {
            high = step;
        } else {
            let flatter = dot(&next_gradient, direction) >= 0.9 * slope;
            if next_value < value {
                lower = Some((next, next_value, next_gradient));
            }
            if flatter {
                break;
            }
            low = step;
        }
        step = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * low };
    }
    lower
}

fn finite<const W: usize>(value: f64, gradient: &[f64; W]) -> bool {
    value.is_finite() && gradient.iter().all(|g| g.is_finite())
}

fn dot<const W: usize>(a: &[f64; W], b: &[f64; W]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn identity<const W: usize>(scale: f64) -> [[f64; W]; W] {
    core::array::from_fn(|i| core::array::from_fn(|j| if i == j { scale } else { 0.0 }))
}

fn times<const W: usize>(matrix: &[[f64; W]; W], vector: &[f64; W]) -> [f64; W] {
    core::array::from_fn(|i| dot(&matrix[i], vector))
}

/// The BFGS update of the inverse Hessian: (I - r s yᵀ) H (I - r y sᵀ) + r s sᵀ, r = 1 / sᵀy.
fn update<const W: usize>(inverse: &mut [[f64; W]; W], s: &[f64; W], y: &[f64; W], curvature: f64) {
    let r = 1.0 / curvature;
    let hy = times(inverse, y);
    let factor = r * (1.0 + r * dot(y, &hy));
    for i in 0..W {
        for j in 0..W {
            inverse[i][j] += factor * s[i] * s[j] - r * (hy[i] * s[j] + s[i] * hy[j]);
        }
    }
}

/// The inverse of a symmetric matrix that is positive definite after a small multiple of its diagonal is added; `None`
/// if it is not. By Cholesky's factors.
pub(super) fn inverse<const W: usize>(matrix: &[[f64; W]; W]) -> Option<[[f64; W]; W]> {
    let mut factor = [[0.0; W]; W];
    for i in 0..W {
        for j in 0..=i {
            let mut sum = matrix[i][j] * if i == j { 1.0 + 1e-10 } else { 1.0 };
            sum -= (0..j).map(|k| factor[i][k] * factor[j][k]).sum::<f64>();
            if i == j {
                if sum.is_nan() || sum <= 0.0 {
                    return None;
                }
                factor[i][i] = sum.sqrt();
            } else {
                factor[i][j] = sum / factor[j][j];
            }
        }
    }
    let mut result = [[0.0; W]; W];
    for column in 0..W {
        let mut x = [0.0; W];
        for i in 0..W {
            let mut sum = if i == column { 1.0 } else { 0.0 };
            sum -= (0..i).map(|k| factor[i][k] * x[k]).sum::<f64>();
            x[i] = sum / factor[i][i];
        }
        for i in (0..W).rev() {
            let mut sum = x[i];
            sum -= (i + 1..W).map(|k| factor[k][i] * x[k]).sum::<f64>();
            x[i] = sum / factor[i][i];
        }
        for (row, value) in result.iter_mut().zip(x) {
            row[column] = value;
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Stop = Stop { relative: 1e-15, absolute: 0.0, still: 5, updates: 2000 };

    #[test]
    fn finds_the_minimum_of_known_functions() {
        // A quadratic of condition 10^6, and Rosenbrock's function chained over five numbers, whose minimum is 0 at
        // (1, 1, 1, 1, 1).
        let weights = [1.0, 1e6, 10.0, 1e3, 0.5];
        let quadratic = |x: &[f64; 5]| {
            let value = (0..5).map(|i| weights[i] * (x[i] - i as f64).powi(2)).sum();
            (value, core::array::from_fn(|i| 2.0 * weights[i] * (x[i] - i as f64)))
        };
        let found = minimise(&quadratic, [7.0; 5], None, STRICT).unwrap();
        for (i, x) in found.at.iter().enumerate() {
            assert!((x - i as f64).abs() < 1e-6, "{found:?}");
        }
        let rosenbrock = |x: &[f64; 5]| {
            let (mut value, mut gradient) = (0.0, [0.0; 5]);
            for i in 0..4 {
                let (a, b) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
                value += 100.0 * a * a + b * b;
                gradient[i] += -400.0 * x[i] * a - 2.0 * b;
                gradient[i + 1] += 200.0 * a;
            }
            (value, gradient)
        };
        let found = minimise(&rosenbrock, [0.5; 5], None, STRICT).unwrap();
        assert!(found.at.iter().all(|x| (x - 1.0).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn gets_through_kinks_and_refuses_what_is_not_finite() {
        let absolute = |x: &[f64; 5]| {
            let value = (0..5).map(|i| (i + 1) as f64 * x[i].abs()).sum();
            (value, core::array::from_fn(|i| (i + 1) as f64 * x[i].signum()))
        };
        let stop = Stop { relative: 1e-12, ..STRICT };
        let found = minimise(&absolute, [3.0, -2.0, 1.0, 5.0, -0.3], None, stop).unwrap();
        assert!(found.value < 1e-4, "{found:?}");
        assert!(minimise(&|_: &[f64; 5]| (f64::NAN, [0.0; 5]), [0.0; 5], None, stop).is_none());
    }

    #[test]
    fn the_inverse_times_the_matrix_is_the_identity() {
        let matrix = [[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 2.0]];
        let inverse = inverse(&matrix).unwrap();
        for (i, row) in matrix.iter().enumerate() {
            let product = times(&inverse, row);
            for (j, product) in product.iter().enumerate() {
                assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-8, "{i} {j}: {product}");
            }
        }
        assert!(super::inverse(&[[1.0, 2.0], [2.0, 1.0]]).is_none());
    }
}
