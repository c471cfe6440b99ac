//! Weighted least squares of a line and of a parabola.

/// (intercept, slope) of y over x; `None` if all x are equal. Points are (x, y, weight).
pub(super) fn line(points: &[[f64; 3]]) -> Option<(f64, f64)> {
    let total: f64 = points.iter().map(|[_, _, w]| w).sum();
    let mean = |k: usize| points.iter().map(|p| p[k] * p[2]).sum::<f64>() / total;
    let (x0, y0) = (mean(0), mean(1));
    let across: f64 = points.iter().map(|[x, _, w]| w * (x - x0) * (x - x0)).sum();
    let up: f64 = points.iter().map(|[x, y, w]| w * (x - x0) * (y - y0)).sum();
    let slope = up / across;
    (across > 0.0 && slope.is_finite()).then_some((y0 - slope * x0, slope))
}

/// The x and y of the minimum of the parabola of y over x; `None` if there are fewer than three different x or the
/// parabola has no minimum.
pub(super) fn lowest(points: &[[f64; 3]]) -> Option<(f64, f64)> {
    let total: f64 = points.iter().map(|[_, _, w]| w).sum();
    let x0 = points.iter().map(|[x, _, w]| w * x).sum::<f64>() / total;
    // Normal equations in x - x0, solved by Cramer's rule.
    let mut moments = [0.0; 5];
    let mut right = [0.0; 3];
    for [x, y, w] in points {
        let mut power = *w;
        for (k, moment) in moments.iter_mut().enumerate() {
            *moment += power;
            if k < 3 {
                right[k] += power * y;
            }
            power *= x - x0;
        }
    }
    let [m0, m1, m2, m3, m4] = moments;
    let solved = |[a, b, c]: [[f64; 3]; 3]| {
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    };
    let columns = [[m0, m1, m2], [m1, m2, m3], [m2, m3, m4]];
    let determinant = solved(columns);
    let scale = m0 * m2 * m4;
    if determinant.is_nan() || determinant <= 1e-12 * scale {
        return None;
    }
    let with = |k: usize| {
        let mut columns = columns;
        columns[k] = right;
        solved(columns) / determinant
    };
    let (c0, c1, c2) = (with(0), with(1), with(2));
    let x = -c1 / (2.0 * c2);
    (c2 > 0.0 && x.is_finite()).then_some((x0 + x, c0 + 0.5 * c1 * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_points_give_their_line_and_parabola() {
        let points: Vec<[f64; 3]> = (0..6).map(f64::from).map(|x| [x, 3.0 - 2.0 * x, 1.0 + x]).collect();
        let (intercept, slope) = line(&points).unwrap();
        assert!((intercept - 3.0).abs() < 1e-12 && (slope + 2.0).abs() < 1e-12);
        let points: Vec<[f64; 3]> =
            (0..6).map(f64::from).map(|x| [x, 1.5 + 0.25 * (x - 2.2) * (x - 2.2), 1.0 + x]).collect();
        let (x, y) = lowest(&points).unwrap();
        assert!((x - 2.2).abs() < 1e-12 && (y - 1.5).abs() < 1e-12, "{x} {y}");
        assert!(lowest(&points[..2]).is_none());
        assert!(line(&points[..1]).is_none());
        let hill: Vec<[f64; 3]> = points.iter().map(|[x, y, w]| [*x, -y, *w]).collect();
        assert!(lowest(&hill).is_none());
    }
}
