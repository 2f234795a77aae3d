//! Draws of several rounds, each from a mixture of its own, and their weights.

use super::inner::Inner;
use super::outer::Mixture;
use super::points::Points;
use super::{Layout, Target};
use crate::error::Result;

/// Draws of all rounds so far.
#[derive(Default)]
pub(super) struct Drawn {
    p: usize,
    n_outer: usize,
    /// `[n, P]`.
    pub points: Vec<f64>,
    /// The outer coordinates alone `[n, O]`.
    pub outer: Vec<f64>,
    /// ln density of the inner coordinates, given the outer ones.
    ln_inner: Vec<f64>,
    /// Density of the outer ones, summed over the mixtures, each times the number of its draws.
    density: Vec<f64>,
    /// `[n]`; infinite outside of the bounds.
    pub loss: Vec<f64>,
}

impl Drawn {
    pub fn new(layout: &Layout) -> Self {
        let n_outer = layout.outer.len();
        Self { p: n_outer + layout.inner.len(), n_outer, ..Self::default() }
    }

    /// One more round of `n` draws from a mixture.
    ///
    /// # Errors
    /// What the target returns.
    pub fn add(
        &mut self,
        target: &mut dyn Target,
        layout: &Layout,
        mixture: &Mixture,
        n: usize,
        spread: &mut Points,
    ) -> Result<()> {
        let Layout { outer, inner, bounds } = layout;
        let (p, o) = (self.p, self.n_outer);
        let first = self.loss.len();
        self.points.resize((first + n) * p, 0.0);
        self.outer.resize((first + n) * o, 0.0);
        self.ln_inner.resize(first + n, 0.0);
        self.loss.resize(first + n, f64::INFINITY);
        let at_once = target.at_once().clamp(1, n);
        let mut conditional = Inner::new(layout, at_once);
        let mut scratch = vec![0.0; o];
        // What waits to be worked on: places, points, and the uniform numbers of the inner coordinates.
        let (mut rows, mut points, mut uniforms) = (Vec::new(), Vec::new(), Vec::new());
        let mut losses = vec![0.0; at_once];
        for row in first..first + n {
            let uniform = spread.next();
            let drawn = &mut self.outer[row * o..(row + 1) * o];
            let component = mixture.draw(&uniform[..2 + o], drawn, &mut scratch);
            let point = &mut self.points[row * p..(row + 1) * p];
            outer.iter().zip(drawn.iter()).for_each(|(&position, x)| point[position] = *x);
            mixture.guess(component, layout, point);
            let is_inside =
                |&position: &usize| point[position] >= bounds.lower[position] && point[position] <= bounds.upper[position];
            if outer.iter().all(is_inside) {
                rows.push(row);
                points.extend_from_slice(point);
                uniforms.extend_from_slice(&uniform[2 + o..]);
            }
            if rows.len() < at_once && (row + 1 < first + n || rows.is_empty()) {
                continue;
            }
            conditional.find(target, layout, &mut points)?;
            let each = rows.iter().zip(points.chunks_exact_mut(p.max(1))).zip(uniforms.chunks_exact(1 + inner.len()));
            for (i, ((&row, point), uniform)) in each.enumerate() {
                self.ln_inner[row] = conditional.draw(i, layout, uniform, point);
            }
            let losses = &mut losses[..rows.len()];
            target.loss(&points, losses)?;
            for ((&row, point), loss) in rows.iter().zip(points.chunks_exact(p.max(1))).zip(losses) {
                self.points[row * p..(row + 1) * p].copy_from_slice(point);
                let is_within = inner.iter().all(|&position| point[position] <= bounds.upper[position]);
                let is_possible = loss.is_finite() && is_within && self.ln_inner[row].is_finite();
                self.loss[row] = if is_possible { *loss } else { f64::INFINITY };
            }
            rows.clear();
            points.clear();
            uniforms.clear();
        }
        Ok(())
    }

    /// Brings the densities up to date after a round with the last of the mixtures.
    pub fn count(&mut self, mixtures: &[(Mixture, usize)]) {
        let Some((last, n)) = mixtures.last() else { return };
        let before = self.density.len();
        let mut scratch = vec![0.0; self.n_outer];
        let mut of_row = |mixture: &Mixture, row: usize| {
            mixture.density(&self.outer[row * self.n_outer..(row + 1) * self.n_outer], &mut scratch)
        };
        for (row, density) in self.density.iter_mut().enumerate() {
            *density += *n as f64 * of_row(last, row);
        }
        let of_all = (before..self.loss.len())
            .map(|row| mixtures.iter().map(|(mixture, n)| *n as f64 * of_row(mixture, row)).sum::<f64>());
        self.density.extend(of_all);
    }

    /// ln of the unnormalised weights of all draws: each mixture counts by how many draws came from it.
    pub fn ln_weights(&self) -> Vec<f64> {
        let of_draw = |row: usize| match self.loss[row].is_finite() {
            true => -0.5 * self.loss[row] - self.ln_inner[row] - self.density[row].max(f64::MIN_POSITIVE).ln(),
            false => f64::NEG_INFINITY,
        };
        (0..self.loss.len()).map(of_draw).collect()
    }
}
