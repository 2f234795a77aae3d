//! The inner coordinates at given outer ones: a Gaussian from the normal equations there, cut at the lower
//! bounds.
//!
//! Coordinates are drawn one after the other, each from a Gaussian given those before it and above its bound
//! (Geweke 1991, Hajivassiliou & McFadden 1998), so that the density is known exactly.

use super::outer::choose;
use super::{Layout, Target};
use crate::error::Result;
use crate::optimise::dense::{cholesky_in_place, invert_positive_semidefinite};
use crate::statistics::{normal_cdf, normal_quantile};

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
/// Ratio of pivots below which a matrix is inverted with care.
const WELL_CONDITIONED: f64 = 1e-8;
/// ln √(2π).
const LN_ROOT_TAU: f64 = 0.918_938_533_204_672_7;

/// Gaussians of the inner coordinates of several draws.
pub(super) struct Inner {
    /// `[n, I]`.
    means: Vec<f64>,
    /// Lower factors F of the covariances F Fᵀ `[n][I, I]`, without gaps; NaN where there is no Gaussian.
    factors: Vec<f64>,
    /// Memory: draws that are not finished, their points, gradients and curvatures.
    open: Vec<usize>,
    packed: Vec<f64>,
    gradient: Vec<f64>,
    curvature: Vec<f64>,
    /// The same for one draw.
    inverse: Vec<f64>,
    reach: Vec<f64>,
    deviates: Vec<f64>,
    bounds: Vec<f64>,
}

impl Inner {
    /// For up to `n` draws at a time.
    pub fn new(layout: &Layout, n: usize) -> Self {
        let m = layout.inner.len();
        Self {
            means: vec![0.0; n * m],
            factors: vec![0.0; n * m * m],
            open: Vec::with_capacity(n),
            packed: Vec::with_capacity(n * (m + layout.outer.len())),
            gradient: vec![0.0; n * m],
            curvature: vec![0.0; n * m * m],
            inverse: vec![0.0; m * m],
            reach: vec![0.0; m],
            deviates: vec![0.0; m],
            bounds: vec![0.0; m],
        }
    }

    /// From normal equations near the inner optima of `points [n, P]`, which are moved towards them.
    pub fn find(&mut self, target: &mut dyn Target, layout: &Layout, points: &mut [f64]) -> Result<()> {
        let m = layout.inner.len();
        let p = m + layout.outer.len();
        self.open.clear();
        self.open.extend(0..if m == 0 { 0 } else { points.len() / p });
        for evaluation in 1..=MOST_EVALUATIONS {
            if self.open.is_empty() {
                break;
            }
            let n = self.open.len();
            self.packed.clear();
            self.open.iter().for_each(|row| self.packed.extend_from_slice(&points[row * p..(row + 1) * p]));
            target.along_inner(&self.packed, &mut self.gradient[..n * m], &mut self.curvature[..n * m * m])?;
            let mut n_far = 0;
            for i in 0..n {
                let row = self.open[i];
                let point = &mut points[row * p..(row + 1) * p];
                let decrement = self.set(row, i, layout, point);
                if evaluation < MOST_EVALUATIONS && decrement > NEAR {
                    self.step(row, layout, point);
                    self.open[n_far] = row;
                    n_far += 1;
                }
            }
            self.open.truncate(n_far);
        }
        Ok(())
    }

    /// Sets the Gaussian of a draw from the `i`-th of the normal equations at its point, and returns what the
    /// step to its mean, inside of the bounds, promises in −2 ln P.
    fn set(&mut self, row: usize, i: usize, layout: &Layout, point: &[f64]) -> f64 {
        let m = layout.inner.len();
        let gradient = &self.gradient[i * m..(i + 1) * m];
        let curvature = &self.curvature[i * m * m..(i + 1) * m * m];
        let factor = &mut self.factors[row * m * m..(row + 1) * m * m];
        let is_finite = gradient.iter().chain(curvature).all(|element| element.is_finite());
        if !is_finite || !covariance_factor(curvature, m, factor, &mut self.inverse) {
            // No Gaussian: the draw will have no weight.
            factor.fill(f64::NAN);
            return 0.0;
        }
        // The mean is −F Fᵀ g/2 away; what is left of it inside of the bounds is the reach.
        let projected = &mut self.deviates;
        for (j, to) in projected.iter_mut().enumerate() {
            *to = -0.5 * (j..m).map(|k| factor[k * m + j] * gradient[k]).sum::<f64>();
        }
        for (k, &position) in layout.inner.iter().enumerate() {
            let step: f64 = (0..=k).map(|j| factor[k * m + j] * projected[j]).sum();
            let mean = point[position] + step;
            self.means[row * m + k] = mean;
            self.reach[k] = mean.clamp(layout.bounds.lower[position], layout.bounds.upper[position]) - point[position];
        }
        // −g·d − ½ dᵀ A d, with the curvature A of the loss.
        let slope: f64 = gradient.iter().zip(&self.reach).map(|(g, d)| g * d).sum();
        let rows = curvature.chunks_exact(m).zip(&self.reach);
        let bend: f64 = rows.map(|(row, d)| d * row.iter().zip(&self.reach).map(|(a, d)| a * d).sum::<f64>()).sum();
        (-slope - 0.5 * bend).abs().max(0.5 * bend)
    }

    /// Moves a point towards the mean of its Gaussian, inside of the bounds.
    fn step(&self, row: usize, layout: &Layout, point: &mut [f64]) {
        for (mean, &position) in self.means[row * layout.inner.len()..].iter().zip(&layout.inner) {
            let step = (mean - point[position]).clamp(-LONGEST_STEP, LONGEST_STEP);
            point[position] = (point[position] + step).clamp(layout.bounds.lower[position], layout.bounds.upper[position]);
        }
    }

    /// Sets the inner coordinates of `point [P]` to a draw of its Gaussian from uniform numbers `[1 + I]`,
    /// and returns its ln density.
    pub fn draw(&mut self, row: usize, layout: &Layout, uniform: &[f64], point: &mut [f64]) -> f64 {
        let m = layout.inner.len();
        let factor = &self.factors[row * m * m..(row + 1) * m * m];
        if m == 0 || factor[0].is_nan() {
            return if m == 0 { 0.0 } else { f64::NAN };
        }
        let width = WIDTHS[choose(WIDTHS.iter().map(|(share, _)| *share), uniform[0])].1;
        let mut determinant = 1.0;
        for (i, &position) in layout.inner.iter().enumerate() {
            let mean = self.means[row * m + i] + (0..i).map(|j| factor[i * m + j] * self.deviates[j]).sum::<f64>();
            let scale = factor[i * m + i];
            self.bounds[i] = (layout.bounds.lower[position] - mean) / scale;
            let deviate = above(self.bounds[i] / width, uniform[1 + i]);
            self.deviates[i] = width * deviate;
            point[position] = (mean + scale * self.deviates[i]).max(layout.bounds.lower[position]);
            determinant *= scale;
        }
        // The same deviates from every width.
        let density = |(share, width): (f64, f64)| {
            let each = self.bounds.iter().zip(&self.deviates);
            let ln_density: f64 = each.map(|(bound, deviate)| ln_density_above(bound / width, deviate / width)).sum();
            share * ln_density.exp() * width.powi(-(m as i32))
        };
        (WIDTHS.into_iter().map(density).sum::<f64>() / determinant).ln()
    }
}

/// Lower factor F of the covariance F Fᵀ that belongs to the curvature `[m, m]` of a loss (twice an
/// information matrix); `inverse` is memory. False where there is none.
fn covariance_factor(curvature: &[f64], m: usize, factor: &mut [f64], inverse: &mut [f64]) -> bool {
    // With the order of the coordinates turned round, L Lᵀ = A/2 gives F = L⁻ᵀ, turned round again.
    let turned = |i: usize, j: usize| 0.5 * curvature[(m - 1 - i) * m + m - 1 - j];
    for i in 0..m {
        for j in 0..=i {
            factor[i * m + j] = turned(i, j);
        }
    }
    if cholesky_in_place(factor, m) {
        let (mut largest, mut smallest) = (0.0_f64, f64::INFINITY);
        for j in 0..m {
            for i in j..m {
                let sum: f64 = (j..i).map(|k| factor[i * m + k] * inverse[k * m + j]).sum();
                inverse[i * m + j] = (f64::from(u8::from(i == j)) - sum) / factor[i * m + i];
            }
            // A pivot against its diagonal element.
            let ratio = factor[j * m + j].powi(2) / turned(j, j);
            (largest, smallest) = (largest.max(ratio), smallest.min(ratio));
        }
        if smallest > WELL_CONDITIONED * largest {
            for i in 0..m {
                for j in 0..m {
                    factor[i * m + j] = if j <= i { inverse[(m - 1 - j) * m + m - 1 - i] } else { 0.0 };
                }
            }
            return true;
        }
    }
    // Directions without information are given some.
    let information: Vec<f64> = curvature.iter().map(|element| 0.5 * element).collect();
    let Some(covariance) = invert_positive_semidefinite(&information, m) else { return false };
    factor.copy_from_slice(&covariance.matrix);
    let is_definite = cholesky_in_place(factor, m);
    (0..m).for_each(|i| (i + 1..m).for_each(|j| factor[i * m + j] = 0.0));
    is_definite
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
