//! The inner coordinates at given outer ones: a Gaussian from the normal equations there, cut at the lower
//! bounds.
//!
//! Coordinates are drawn one after the other, each from a Gaussian given those before it and above its bound
//! (Geweke 1991, Hajivassiliou & McFadden 1998), so that the density is known exactly.

use super::outer::choose;
use super::{Layout, Target};
use crate::error::Result;
use crate::optimise::dense::{cholesky_in_place, cholesky_solve_in_place, invert_positive_semidefinite};
use crate::statistics::{normal_cdf, normal_quantile};
use ndarray::{Array2, ArrayViewMut1, Axis};

/// Widths of the Gaussian, in that of the normal equations, with their shares.
const WIDTHS: [(f64, f64); 2] = [(0.92, 1.07), (0.08, 2.5)];
/// Evaluations of a draw at most, until the step to the optimum promises no more than …
const MOST_EVALUATIONS: usize = 4;
/// … this in −2 ln P.
const NEAR: f64 = 1.0;
/// The longest step in one coordinate.
const LONGEST_STEP: f64 = 1.0;
/// A bound so many standard deviations above the mean is met with an exponential tail.
const FAR: f64 = 4.0;
/// One so many below it cuts nothing.
const NOWHERE: f64 = 9.0;
/// ln √(2π).
const LN_ROOT_TAU: f64 = 0.918_938_533_204_672_7;

/// Gaussians of the inner coordinates of several draws.
pub(super) struct Inner {
    /// `[n, I]`.
    means: Array2<f64>,
    /// Lower Cholesky factors of the covariances `[n][I, I]`, without gaps.
    factors: Vec<f64>,
    /// Memory for one draw.
    deviates: Vec<f64>,
}

impl Inner {
    /// From normal equations near the inner optima of `points [n, P]`, which are moved towards them.
    pub fn find(target: &mut dyn Target, layout: &Layout, points: &mut Array2<f64>) -> Result<Self> {
        let (n, m) = (points.nrows(), layout.inner.len());
        let mut inner = Self { means: Array2::zeros((n, m)), factors: vec![0.0; n * m * m], deviates: vec![0.0; m] };
        let mut open: Vec<usize> = if m == 0 { Vec::new() } else { (0..n).collect() };
        for evaluation in 1..=MOST_EVALUATIONS {
            if open.is_empty() {
                break;
            }
            let normal = target.along_inner(points.select(Axis(0), &open).view())?;
            let mut far = Vec::new();
            for (i, &row) in open.iter().enumerate() {
                let gradient: Vec<f64> = normal.gradient.row(i).iter().map(|g| 0.5 * g).collect();
                let curvature: Vec<f64> = normal.curvature.index_axis(Axis(0), i).iter().map(|c| 0.5 * c).collect();
                let decrement = inner.set(row, layout, (gradient, curvature), points);
                if evaluation < MOST_EVALUATIONS && decrement > NEAR {
                    inner.step(row, layout, points.row_mut(row));
                    far.push(row);
                }
            }
            open = far;
        }
        Ok(inner)
    }

    /// Sets the Gaussian of a draw and returns what the step to its mean, inside of the bounds, promises in
    /// −2 ln P.
    fn set(&mut self, row: usize, layout: &Layout, (gradient, curvature): (Vec<f64>, Vec<f64>), points: &Array2<f64>) -> f64 {
        let m = layout.inner.len();
        let covariance = invert_positive_semidefinite(&curvature, m).map(|inverse| inverse.matrix);
        let Some(covariance) = covariance.filter(|_| gradient.iter().all(|g| g.is_finite())) else {
            // No Gaussian: the draw will have no weight.
            self.factors[row * m * m..(row + 1) * m * m].fill(f64::NAN);
            return 0.0;
        };
        let mut factor = covariance.clone();
        if !cholesky_in_place(&mut factor, m) {
            factor.fill(f64::NAN);
        }
        (0..m).for_each(|i| (i + 1..m).for_each(|j| factor[i * m + j] = 0.0));
        let mut reach = vec![0.0; m];
        for (i, &position) in layout.inner.iter().enumerate() {
            let step: f64 = -(0..m).map(|j| covariance[i * m + j] * gradient[j]).sum::<f64>();
            self.means[[row, i]] = points[[row, position]] + step;
            reach[i] = self.means[[row, i]].clamp(layout.bounds.lower[position], layout.bounds.upper[position])
                - points[[row, position]];
        }
        self.factors[row * m * m..(row + 1) * m * m].copy_from_slice(&factor);
        // 2 (−g·d) − dᵀ A d.
        let slope: f64 = gradient.iter().zip(&reach).map(|(g, d)| g * d).sum();
        let mut solved = reach.clone();
        if factor.iter().any(|element| element.is_nan()) {
            return 0.0;
        }
        cholesky_solve_in_place(&factor, m, &mut solved);
        let bend: f64 = solved.iter().zip(&reach).map(|(a, d)| a * d).sum();
        (-2.0 * slope - bend).abs().max(bend)
    }

    /// Moves a point towards the mean of its Gaussian, inside of the bounds.
    fn step(&self, row: usize, layout: &Layout, mut point: ArrayViewMut1<'_, f64>) {
        for (i, &position) in layout.inner.iter().enumerate() {
            let step = (self.means[[row, i]] - point[position]).clamp(-LONGEST_STEP, LONGEST_STEP);
            let to = point[position] + step;
            point[position] = to.clamp(layout.bounds.lower[position], layout.bounds.upper[position]);
        }
    }

    /// Sets the inner coordinates of `point [P]` to a draw of its Gaussian from uniform numbers `[1 + I]`,
    /// and returns its ln density.
    pub fn draw(&mut self, row: usize, layout: &Layout, uniform: &[f64], mut point: ArrayViewMut1<'_, f64>) -> f64 {
        let m = layout.inner.len();
        let factor = &self.factors[row * m * m..(row + 1) * m * m];
        if m == 0 || factor[0].is_nan() {
            return if m == 0 { 0.0 } else { f64::NAN };
        }
        let width = WIDTHS[choose(WIDTHS.iter().map(|(share, _)| *share), uniform[0])].1;
        for (i, &position) in layout.inner.iter().enumerate() {
            let mean = self.means[[row, i]] + (0..i).map(|j| factor[i * m + j] * self.deviates[j]).sum::<f64>();
            let scale = width * factor[i * m + i];
            let bound = (layout.bounds.lower[position] - mean) / scale;
            let deviate = above(bound, uniform[1 + i]);
            self.deviates[i] = width * deviate;
            point[position] = (mean + scale * deviate).max(layout.bounds.lower[position]);
        }
        // The same deviates from every width.
        let density = |(share, width): (f64, f64)| {
            let mut ln_density = 0.0;
            for (i, &position) in layout.inner.iter().enumerate() {
                let mean = self.means[[row, i]] + (0..i).map(|j| factor[i * m + j] * self.deviates[j]).sum::<f64>();
                let scale = width * factor[i * m + i];
                let bound = (layout.bounds.lower[position] - mean) / scale;
                ln_density += ln_density_above(bound, self.deviates[i] / width) - scale.ln();
            }
            share * ln_density.exp()
        };
        WIDTHS.into_iter().map(density).sum::<f64>().ln()
    }
}

/// A draw of N(0, 1) above `bound` (of an exponential tail where that is far out), from a uniform number.
fn above(bound: f64, uniform: f64) -> f64 {
    if bound > FAR {
        return bound - (1.0 - uniform).ln() / bound;
    }
    if bound < -NOWHERE {
        return normal_quantile(uniform);
    }
    // From the upper tail, which keeps its digits.
    let tail = normal_cdf(-bound);
    -normal_quantile((tail * (1.0 - uniform)).clamp(1e-300, 1.0 - 1e-16))
}

/// ln density of [`above`] at `deviate`.
fn ln_density_above(bound: f64, deviate: f64) -> f64 {
    if bound > FAR {
        return bound.ln() - bound * (deviate - bound);
    }
    let cut = if bound < -NOWHERE { 0.0 } else { normal_cdf(-bound).ln() };
    -0.5 * deviate * deviate - LN_ROOT_TAU - cut
}
