//! The sum of Huber losses of a form over points, with its gradient: the part of a fit that takes the time.

use retrace_numerics::isa::{Plain, plain};

use super::minimise::inverse;

/// The points that are computed together.
pub(super) const LANES: usize = 16;

/// A number of each of these points.
pub(super) type Lanes = [f64; LANES];

/// The numbers per point that a form may use.
pub(super) const COLUMNS: usize = 4;

/// [`LANES`] points, column by column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// What the form says: ln N and ln D from their centres, and more.
    pub(super) x: [Lanes; COLUMNS],
    /// What the form's value is compared with: mostly ln L.
    pub(super) target: Lanes,
    /// How often the point counts; 0 for the last block's places without one.
    pub(super) weight: Lanes,
}

/// A functional form with `W` parameters, as its parameters are searched for.
pub(super) trait Form<const W: usize>: Sync {
    /// The form's value for each point of the block, mostly ln L, and its derivatives by the parameters. `run` of a [`Plain`] calls it: it must be
    /// `#[inline(always)]`. Where the form has no value it gives NaN.
    fn value(&self, at: &[f64; W], x: &[Lanes; COLUMNS], value: &mut Lanes, partials: &mut [Lanes; W]);
}

/// How the residuals of points become one number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Huber {
    /// δ: below it the loss is half the square of the residual, above it a straight line.
    pub(super) delta: f64,
    /// What the sum is multiplied by: 1, or 1 / points for a mean.
    pub(super) scale: f64,
}

/// Points as blocks.
#[derive(Debug, Clone)]
pub(super) struct Blocks(Vec<Block>);

impl Blocks {
    /// From rows of (columns, target, weight). Rows of weight 0 are left out: they add nothing.
    pub(super) fn new(rows: impl Iterator<Item = ([f64; COLUMNS], f64, f64)>) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        for (at, (x, target, weight)) in rows.filter(|row| row.2 != 0.0).enumerate() {
            let lane = at % LANES;
            if lane == 0 {
                // Empty places repeat a point, so that they have finite numbers.
                blocks.push(Block { x: x.map(|value| [value; LANES]), target: [target; LANES], weight: [0.0; LANES] });
            }
            if let Some(block) = blocks.last_mut() {
                for (column, value) in block.x.iter_mut().zip(x) {
                    column[lane] = value;
                }
                block.target[lane] = target;
                block.weight[lane] = weight;
            }
        }
        Self(blocks)
    }

    /// The objective and its gradient.
    pub(super) fn objective<const W: usize>(
        &self,
        form: &impl Form<W>,
        huber: Huber,
        at: &[f64; W],
    ) -> (f64, [f64; W]) {
        plain(Objective { blocks: &self.0, form, huber, at })
    }

    /// An inverse Hessian to begin with: of the least squares that has the same slopes at this place (Gauss and Newton's
    /// matrix, each point weighted by min(1, δ / |r|)).
    pub(super) fn inverse_hessian<const W: usize>(
        &self,
        form: &impl Form<W>,
        huber: Huber,
        at: &[f64; W],
    ) -> Option<[[f64; W]; W]> {
        let mut hessian = [[0.0; W]; W];
        let (mut value, mut partials) = ([0.0; LANES], [[0.0; LANES]; W]);
        for block in &self.0 {
            form.value(at, &block.x, &mut value, &mut partials);
            for lane in 0..LANES {
                let size = (value[lane] - block.target[lane]).abs();
                let weight =
                    huber.scale * block.weight[lane] * if size > huber.delta { huber.delta / size } else { 1.0 };
                for i in 0..W {
                    for j in 0..W {
                        hessian[i][j] += weight * partials[i][lane] * partials[j][lane];
                    }
                }
            }
        }
        inverse(&hessian)
    }
}

struct Objective<'a, F, const W: usize> {
    blocks: &'a [Block],
    form: &'a F,
    huber: Huber,
    at: &'a [f64; W],
}

impl<F: Form<W>, const W: usize> Plain for Objective<'_, F, W> {
    type Output = (f64, [f64; W]);

    #[inline(always)]
    fn run(self) -> Self::Output {
        let delta = self.huber.delta;
        let (mut sums, mut slopes) = ([0.0; LANES], [[0.0; LANES]; W]);
        let (mut value, mut partials) = ([0.0; LANES], [[0.0; LANES]; W]);
        for block in self.blocks {
            self.form.value(self.at, &block.x, &mut value, &mut partials);
            let mut slope = [0.0; LANES];
            for lane in 0..LANES {
                let residual = value[lane] - block.target[lane];
                let size = residual.abs();
                let inner = if size < delta { size } else { delta };
                // A NaN residual must stay one: `inner` would hide it.
                sums[lane] += block.weight[lane] * (inner * (size - 0.5 * inner));
                slope[lane] = block.weight[lane] * inner.copysign(residual);
            }
            for (sum, partial) in slopes.iter_mut().zip(&partials) {
                for lane in 0..LANES {
                    sum[lane] += slope[lane] * partial[lane];
                }
            }
        }
        (self.huber.scale * fold(sums), slopes.map(|sum| self.huber.scale * fold(sum)))
    }
}

/// The sum of the lanes: the second half is added to the first until one is left.
#[inline(always)]
fn fold(mut lanes: Lanes) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}
