//! BFGS, with a line search that can pass the kinks of losses that are nearly absolute values.

/// The number of parameters.
pub(crate) const WIDTH: usize = 5;

/// A point, a gradient or a direction.
pub(crate) type Vector = [f64; WIDTH];

/// A local minimum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Minimum {
    /// Its position.
    pub(crate) at: Vector,
    /// The function's value there.
    pub(crate) value: f64,
}

/// Steps of a line search: enough to halve a step down to rounding precision.
const HALVINGS: usize = 40;

/// Minimises from `start` until the value decreases by less than `relative` of itself for a few updates in a row, with
/// at most `updates` of them. The function returns its value and gradient; a point where either is not finite counts
/// as infinitely high.
///
/// BFGS as in Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 6.1, with the weak
/// Wolfe line search by bisection of Lewis and Overton (Nonsmooth optimization via quasi-Newton
/// methods, 2013), which needs no smoothness.
pub(crate) fn minimise(
    function: &dyn Fn(&Vector) -> (f64, Vector),
    start: Vector,
    relative: f64,
    updates: usize,
) -> Option<Minimum> {
    let mut at = start;
    let (mut value, mut gradient) = function(&at);
    if !finite(value, &gradient) {
        return None;
    }
    let mut inverse = identity(1.0);
    let mut scaled = false;
    let mut still = 0;
    for _ in 0..updates {
        let mut direction = times(&inverse, &gradient).map(|d| -d);
        if dot(&direction, &gradient) >= 0.0 {
            inverse = identity(1.0);
            direction = gradient.map(|g| -g);
        }
        let Some((next, next_value, next_gradient)) = search(function, &at, value, &gradient, &direction) else {
            break;
        };
        let moved: Vector = core::array::from_fn(|i| next[i] - at[i]);
        let turned: Vector = core::array::from_fn(|i| next_gradient[i] - gradient[i]);
        let curvature = dot(&moved, &turned);
        if curvature > 1e-300 {
            if !scaled {
                inverse = identity(curvature / dot(&turned, &turned));
                scaled = true;
            }
            update(&mut inverse, &moved, &turned, curvature);
        }
        still = if value - next_value <= relative * next_value.abs() { still + 1 } else { 0 };
        (at, value, gradient) = (next, next_value, next_gradient);
        if still == 5 {
            break;
        }
    }
    Some(Minimum { at, value })
}

/// A point along `direction` that is lower and where the slope is flatter; if there is none, one that is only lower.
fn search(
    function: &dyn Fn(&Vector) -> (f64, Vector),
    at: &Vector,
    value: f64,
    gradient: &Vector,
    direction: &Vector,
) -> Option<(Vector, f64, Vector)> {
    let slope = dot(gradient, direction);
    let (mut low, mut high, mut step) = (0.0, f64::INFINITY, 1.0);
    let mut lower = None;
    for _ in 0..HALVINGS {
        let next: Vector = core::array::from_fn(|i| at[i] + step * direction[i]);
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

fn finite(value: f64, gradient: &Vector) -> bool {
    value.is_finite() && gradient.iter().all(|g| g.is_finite())
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn identity(scale: f64) -> [Vector; WIDTH] {
    core::array::from_fn(|i| core::array::from_fn(|j| if i == j { scale } else { 0.0 }))
}

fn times(matrix: &[Vector; WIDTH], vector: &Vector) -> Vector {
    core::array::from_fn(|i| dot(&matrix[i], vector))
}

/// The BFGS update of the inverse Hessian: (I - r s yᵀ) H (I - r y sᵀ) + r s sᵀ, r = 1 / sᵀy.
fn update(inverse: &mut [Vector; WIDTH], s: &Vector, y: &Vector, curvature: f64) {
    let r = 1.0 / curvature;
    let hy = times(inverse, y);
    let factor = r * (1.0 + r * dot(y, &hy));
    for i in 0..WIDTH {
        for j in 0..WIDTH {
            inverse[i][j] += factor * s[i] * s[j] - r * (hy[i] * s[j] + s[i] * hy[j]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_minimum_of_known_functions() {
        // A quadratic of condition 10^6, and Rosenbrock's function chained over five numbers, whose minimum is 0 at
        // (1, 1, 1, 1, 1).
        let weights = [1.0, 1e6, 10.0, 1e3, 0.5];
        let quadratic = |x: &Vector| {
            let value = (0..WIDTH).map(|i| weights[i] * (x[i] - i as f64).powi(2)).sum();
            (value, core::array::from_fn(|i| 2.0 * weights[i] * (x[i] - i as f64)))
        };
        let found = minimise(&quadratic, [7.0; WIDTH], 1e-15, 500).unwrap();
        for (i, x) in found.at.iter().enumerate() {
            assert!((x - i as f64).abs() < 1e-6, "{found:?}");
        }
        let rosenbrock = |x: &Vector| {
            let (mut value, mut gradient) = (0.0, [0.0; WIDTH]);
            for i in 0..WIDTH - 1 {
                let (a, b) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
                value += 100.0 * a * a + b * b;
                gradient[i] += -400.0 * x[i] * a - 2.0 * b;
                gradient[i + 1] += 200.0 * a;
            }
            (value, gradient)
        };
        let found = minimise(&rosenbrock, [0.5; WIDTH], 1e-15, 2000).unwrap();
        assert!(found.at.iter().all(|x| (x - 1.0).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn gets_through_kinks_and_refuses_what_is_not_finite() {
        let absolute = |x: &Vector| {
            let value = (0..WIDTH).map(|i| (i + 1) as f64 * x[i].abs()).sum();
            (value, core::array::from_fn(|i| (i + 1) as f64 * x[i].signum()))
        };
        let found = minimise(&absolute, [3.0, -2.0, 1.0, 5.0, -0.3], 1e-12, 2000).unwrap();
        assert!(found.value < 1e-4, "{found:?}");
        assert!(minimise(&|_| (f64::NAN, [0.0; WIDTH]), [0.0; WIDTH], 1e-9, 10).is_none());
    }
}
