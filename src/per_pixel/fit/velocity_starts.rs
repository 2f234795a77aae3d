//! Velocities among which a fit begins: a search moves a line by no more than its width, since beyond it no
//! derivative tells where the line is.
//!
//! A template is shifted by whole pixels over all velocities that are allowed, and the one of least χ² is
//! taken (the cross-correlation of Tonry & Davis 1979 with the errors of every pixel).

use crate::per_pixel::strip_rows::weighted_squares;
use crate::tensor::row_products::Strip;
use std::ops::Range;

/// Most velocities to either side of none.
const MOST: usize = 200;

/// Pixels that are seen at others.
#[derive(Debug, Clone)]
struct Shifted {
    /// Of the largest velocity, within ±1.
    part: f64,
    /// Pixels, and how many pixels further the template has what is seen there.
    runs: Vec<(Range<usize>, isize)>,
}

/// Velocities a pixel apart, or, of a very fine grid, a two-hundredth of the largest.
#[derive(Debug, Clone)]
pub(super) struct VelocityStarts {
    shifted: Vec<Shifted>,
}

impl VelocityStarts {
    /// For `n_pixels` pixels, with the pixels from pixel i to the place in the model that is seen there at a
    /// part of the largest velocity.
    pub fn new(n_pixels: usize, displacement: impl Fn(usize, f64) -> f64) -> Self {
        let widest = [0, n_pixels - 1].into_iter().flat_map(|i| [1.0, -1.0].map(|part| displacement(i, part).abs()));
        let n = (widest.fold(0.0, f64::max).ceil() as usize).clamp(1, MOST);
        let at = |step: usize| {
            let part = step as f64 / n as f64 - 1.0;
            let mut runs: Vec<(Range<usize>, isize)> = Vec::new();
            for i in 0..n_pixels {
                let shift = displacement(i, part).round() as isize;
                let is_inside = i.checked_add_signed(shift).is_some_and(|from| from < n_pixels);
                match runs.last_mut().filter(|(range, other)| *other == shift && range.end == i) {
                    _ if !is_inside => {}
                    Some((range, _)) => range.end += 1,
                    None => runs.push((i..i + 1, shift)),
                }
            }
            Shifted { part, runs }
        };
        Self { shifted: (0..=2 * n).map(at).collect() }
    }

    /// Number of velocities.
    pub fn len(&self) -> usize {
        self.shifted.len()
    }

    /// That of least χ² of a template `[strips]`, as its position.
    pub fn best(&self, template: &[Strip], flux: &[Strip], weight: &[Strip], work: &mut Vec<Strip>) -> usize {
        let mut best = (f64::INFINITY, self.len() / 2);
        for velocity in 0..self.len() {
            let found = self.chi_square(velocity, template, flux, weight, work);
            if found < best.0 {
                best = (found, velocity);
            }
        }
        best.1
    }

    /// χ² of a template with a velocity; what has no pixel in it takes no part.
    pub fn chi_square(&self, at: usize, template: &[Strip], flux: &[Strip], weight: &[Strip], work: &mut Vec<Strip>) -> f64 {
        work.clear();
        work.extend_from_slice(flux);
        let (template, seen) = (super::nuisances::flat(template), super::nuisances::flat_mut(work));
        let mut covered = 0;
        for (range, shift) in &self.shifted[at].runs {
            seen[covered..range.start].fill(0.0);
            covered = range.end;
            let first = range.start.saturating_add_signed(*shift);
            let from = &template[first..first + range.len()];
            seen[range.clone()].iter_mut().zip(from).for_each(|(seen, template)| *seen = template - *seen);
        }
        seen[covered..].fill(0.0);
        weighted_squares(weight, work)
    }

    /// A velocity as a part of the largest.
    pub fn part(&self, at: usize) -> f64 {
        self.shifted[at].part
    }
}
