//! The mixture from which outer coordinates are drawn: around every mode, Gaussians of the same shape and
//! several widths, whose tails are heavier than one Gaussian's.

use super::{Layout, Mode};
use crate::optimise::dense::{cholesky_in_place, cholesky_solve_in_place, solve_lower_in_place};
use crate::statistics::normal_quantile;
use std::f64::consts::TAU;

/// Widths of the Gaussians of a mode, in that of the mode, with their shares.
const WIDTHS: [(f64, f64); 3] = [(0.60, 1.05), (0.30, 1.7), (0.10, 3.5)];
/// Share that is given to all modes alike, whatever their weights say.
const EQUAL_SHARE: f64 = 0.2;
/// Effective draws per outer coordinate, and one more, from which a mode is adapted.
const DRAWS_PER_COORDINATE: f64 = 2.5;
/// An adapted covariance is wider than the weighted one by this: few draws miss the tails of what they are
/// drawn from, and intervals would hold less than they say (95 % ones of skewed distributions 0.92 with 1.1,
/// 0.935 with 2, at four fifths of the effective size), …
const WIDENED: f64 = 2.0;
/// … and has at least this share of that before.
const KEPT: f64 = 0.02;
/// No draw counts more than so many of mean weight in an adaptation.
const MOST_WEIGHT: f64 = 4.0;

/// Around one mode.
#[derive(Debug, Clone)]
struct Component {
    share: f64,
    /// `[O]`.
    centre: Vec<f64>,
    /// Lower Cholesky factor `[O, O]` of the covariance.
    factor: Vec<f64>,
    /// ln of share/√((2π)^O det C), of every width.
    ln_amplitudes: [f64; WIDTHS.len()],
    /// Inner coordinates at the mode, and their slopes along the outer ones `[I, O]`: where the inner optimum
    /// is expected.
    mode: Vec<f64>,
    inner: Vec<f64>,
    slopes: Vec<f64>,
}

#[derive(Debug, Clone)]
pub(super) struct Mixture {
    n: usize,
    components: Vec<Component>,
}

/// Some rows and columns of a matrix `[p, p]`.
fn block(matrix: &[f64], p: usize, rows: &[usize], columns: &[usize]) -> Vec<f64> {
    rows.iter().flat_map(|&i| columns.iter().map(move |&j| matrix[i * p + j])).collect()
}

/// A Cholesky factor; of the diagonal alone where there is none, and 1 where that is no variance.
fn factor_of(mut matrix: Vec<f64>, n: usize) -> Vec<f64> {
    let diagonal: Vec<f64> = (0..n).map(|i| matrix[i * n + i]).collect();
    if !cholesky_in_place(&mut matrix, n) {
        matrix.fill(0.0);
        for (i, variance) in diagonal.into_iter().enumerate() {
            matrix[i * n + i] = if variance > 0.0 && variance.is_finite() { variance.sqrt() } else { 1.0 };
        }
    }
    (0..n).for_each(|i| (i + 1..n).for_each(|j| matrix[i * n + j] = 0.0));
    matrix
}

impl Component {
    fn set(&mut self, share: f64) {
        let n = self.centre.len();
        let ln_determinant: f64 = (0..n).map(|i| self.factor[i * n + i].ln()).sum();
        self.share = share;
        let ln_amplitude = share.ln() - ln_determinant - 0.5 * n as f64 * TAU.ln();
        self.ln_amplitudes = WIDTHS.map(|(share, width)| ln_amplitude + share.ln() - n as f64 * width.ln());
    }

    /// Squared distance of `outer` in the widths of the mode.
    fn distance(&self, outer: &[f64], scratch: &mut [f64]) -> f64 {
        let n = scratch.len();
        scratch.iter_mut().zip(outer.iter().zip(&self.centre)).for_each(|(to, (x, centre))| *to = x - centre);
        solve_lower_in_place(&self.factor, n, scratch);
        scratch.iter().map(|x| x * x).sum()
    }

    fn density(&self, outer: &[f64], scratch: &mut [f64]) -> f64 {
        let distance = self.distance(outer, scratch);
        let each = WIDTHS.iter().zip(&self.ln_amplitudes);
        each.map(|((_, width), ln_amplitude)| (ln_amplitude - 0.5 * distance / (width * width)).exp()).sum()
    }
}

impl Mixture {
    pub fn new(layout: &Layout, modes: &[Mode]) -> Self {
        let Layout { outer, inner, .. } = layout;
        let (n, p) = (outer.len(), outer.len() + inner.len());
        let total: f64 = modes.iter().map(|mode| mode.weight).sum();
        let component = |mode: &Mode| {
            let share = if total > 0.0 { mode.weight / total } else { 0.0 };
            let factor = factor_of(block(&mode.covariance, p, outer, outer), n);
            // Cov(inner, outer) Cov(outer)⁻¹.
            let mut slopes = block(&mode.covariance, p, inner, outer);
            if n > 0 {
                slopes.chunks_exact_mut(n).for_each(|row| cholesky_solve_in_place(&factor, n, row));
            }
            let at = |positions: &[usize]| positions.iter().map(|&position| mode.centre[position]).collect::<Vec<f64>>();
            let (mode, inner) = (at(outer), at(inner));
            let mut component =
                Component { share: 0.0, centre: mode.clone(), factor, ln_amplitudes: [0.0; WIDTHS.len()], mode, inner, slopes };
            component.set((1.0 - EQUAL_SHARE) * share + EQUAL_SHARE / modes.len() as f64);
            component
        };
        Self { n, components: modes.iter().map(component).collect() }
    }

    /// Fills `outer [O]` from uniform numbers `[2 + O]`, and returns the mode around which it is; `normal`
    /// has the same length.
    pub fn draw(&self, uniform: &[f64], outer: &mut [f64], normal: &mut [f64]) -> usize {
        let total: f64 = self.components.iter().map(|component| component.share).sum();
        let chosen = choose(self.components.iter().map(|component| component.share), uniform[0] * total);
        let component = &self.components[chosen];
        let width = WIDTHS[choose(WIDTHS.iter().map(|(share, _)| *share), uniform[1])].1;
        normal.iter_mut().zip(&uniform[2..]).for_each(|(x, &u)| *x = width * normal_quantile(u));
        for (i, outer) in outer.iter_mut().enumerate() {
            let row = &component.factor[i * self.n..=i * self.n + i];
            *outer = component.centre[i] + row.iter().zip(normal.iter()).map(|(l, x)| l * x).sum::<f64>();
        }
        chosen
    }

    /// Sets the inner coordinates of a point `[P]` to where their optimum is expected.
    pub fn guess(&self, component: usize, layout: &Layout, point: &mut [f64]) {
        let Component { mode, inner, slopes, .. } = &self.components[component];
        for (i, &position) in layout.inner.iter().enumerate() {
            let along: f64 = (0..self.n).map(|k| slopes[i * self.n + k] * (point[layout.outer[k]] - mode[k])).sum();
            point[position] = (inner[i] + along).clamp(layout.bounds.lower[position], layout.bounds.upper[position]);
        }
    }

    /// Density of outer coordinates `[O]`; `scratch` has the same length.
    pub fn density(&self, outer: &[f64], scratch: &mut [f64]) -> f64 {
        self.components.iter().map(|component| component.density(outer, scratch)).sum()
    }

    /// Shares of the modes in weighted draws `[n, O]`: a draw belongs to modes by their densities there.
    pub fn shares(&self, outer: &[f64], weights: &[f64]) -> Vec<f64> {
        let mut shares = vec![0.0; self.components.len()];
        self.visit(outer, weights, |mode, weight, _| shares[mode] += weight);
        shares
    }

    /// Calls `each` with every mode and a draw's weight as far as it belongs to it.
    fn visit(&self, outer: &[f64], weights: &[f64], mut each: impl FnMut(usize, f64, &[f64])) {
        let mut scratch = vec![0.0; self.n];
        let mut densities = vec![0.0; self.components.len()];
        for (i, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let row = &outer[i * self.n..(i + 1) * self.n];
            let components = densities.iter_mut().zip(&self.components);
            components.for_each(|(density, component)| *density = component.density(row, &mut scratch));
            let sum: f64 = densities.iter().sum();
            for (mode, density) in densities.iter().enumerate().filter(|_| sum > 0.0) {
                each(mode, weight * density / sum, row);
            }
        }
    }

    /// The mixture with means, covariances and shares of weighted draws, where a mode has enough of them.
    pub fn adapted(&self, outer: &[f64], weights: &[f64]) -> Self {
        let (n, k) = (self.n, self.components.len());
        let limit = MOST_WEIGHT / weights.len().max(1) as f64;
        let weights: Vec<f64> = weights.iter().map(|weight| weight.min(limit)).collect();
        let total: f64 = weights.iter().sum();
        let (mut sums, mut squares) = (vec![0.0; k], vec![0.0; k]);
        let (mut means, mut products) = (vec![0.0; k * n], vec![0.0; k * n * n]);
        self.visit(outer, &weights, |mode, weight, row| {
            sums[mode] += weight;
            squares[mode] += weight * weight;
            for i in 0..n {
                let x = row[i] - self.components[mode].centre[i];
                means[mode * n + i] += weight * x;
                for j in 0..=i {
                    products[(mode * n + i) * n + j] += weight * x * (row[j] - self.components[mode].centre[j]);
                }
            }
        });
        let mut adapted = self.clone();
        for (mode, component) in adapted.components.iter_mut().enumerate() {
            let sum = sums[mode];
            let share = if total > 0.0 { sum / total } else { component.share };
            let enough = DRAWS_PER_COORDINATE * (n as f64 + 1.0);
            if sum > 0.0 && sum * sum >= enough * squares[mode] {
                let before = &self.components[mode];
                let mut covariance = vec![0.0; n * n];
                for i in 0..n {
                    for j in 0..=i {
                        let (a, b) = (means[mode * n + i] / sum, means[mode * n + j] / sum);
                        let rows = before.factor[i * n..i * n + n].iter().zip(&before.factor[j * n..j * n + n]);
                        let kept: f64 = rows.map(|(a, b)| a * b).sum();
                        let value = products[(mode * n + i) * n + j] / sum - a * b;
                        covariance[i * n + j] = WIDENED * value + KEPT * kept;
                        covariance[j * n + i] = covariance[i * n + j];
                    }
                    component.centre[i] = before.centre[i] + means[mode * n + i] / sum;
                }
                component.factor = factor_of(covariance, n);
            }
            component.set((1.0 - EQUAL_SHARE) * share + EQUAL_SHARE / k as f64);
        }
        adapted
    }
}

/// Into which of the shares a number between zero and their sum falls.
pub(super) fn choose(shares: impl Iterator<Item = f64>, mut at: f64) -> usize {
    let mut last = 0;
    for (position, share) in shares.enumerate() {
        last = position;
        if at < share {
            break;
        }
        at -= share;
    }
    last
}
