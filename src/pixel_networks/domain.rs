//! Whether a star lies where the training had stars. Every label may be within its range, and the combination
//! one that no star of the training has: a hot giant of few metals, where nothing but extrapolation tells
//! what the model says.
//!
//! Core labels alone are asked (T_eff, log g, v_mic, \[Fe/H\]): abundance ratios in which a star is unusual
//! are what gradients of physics are for.

use crate::per_pixel::LabelSpace;
use crate::statistics::percentile;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

/// Fewest stars that tell a domain.
const FEWEST: usize = 50;
/// Most stars that are kept of a model: each is held against every other, and every spectrum against each.
const MOST: usize = 2000;
/// Per cent of the training stars whose distance to the nearest other one is ordinary, and how many times as
/// far a star may be.
const ORDINARY: f64 = 99.0;
const TIMES: f64 = 2.0;
/// Errors of its labels that are taken off its distance.
const ERRORS: f64 = 3.0;

/// The training stars that a model keeps, in core labels over their ranges.
pub(super) struct Domain {
    core: Vec<usize>,
    points: Array2<f64>,
    /// Distance to the nearest point beyond which a star is outside.
    limit: f64,
}

impl Domain {
    /// From some of the training stars, `labels [T, L]`; `None` where they are too few.
    pub fn of(space: &LabelSpace, labels: ArrayView2<f64>) -> Option<Self> {
        let ratios = space.abundance_ratios();
        let core: Vec<usize> = (0..space.len()).filter(|&k| !ratios[k]).collect();
        let some = (0..labels.nrows()).step_by(labels.nrows().div_ceil(MOST).max(1)).collect::<Vec<_>>();
        let points = space.scale(labels.select(Axis(0), &some).view()).select(Axis(1), &core);
        if points.nrows() < FEWEST || core.is_empty() {
            return None;
        }
        let exact = vec![0.0; core.len()];
        let nearest = |i: usize| {
            let others = (0..points.nrows()).filter(|&other| other != i);
            others.map(|other| distance(points.row(i), points.row(other), &exact)).fold(f64::INFINITY, f64::min)
        };
        let distances: Vec<f64> = (0..points.nrows()).map(nearest).collect();
        let limit = TIMES * percentile(&distances, ORDINARY);
        Some(Self { core, points, limit })
    }

    /// Whether a star at `labels [L]` with `errors [L]`, both over the labels' ranges, is further from every
    /// star of the training than these are from each other.
    pub fn is_outside(&self, labels: ArrayView1<f64>, errors: ArrayView1<f64>) -> bool {
        let label: Vec<f64> = self.core.iter().map(|&k| labels[k]).collect();
        let allowed: Vec<f64> = self.core.iter().map(|&k| ERRORS * errors[k]).collect();
        let is_known = label.iter().chain(&allowed).all(|value| value.is_finite());
        is_known && self.points.outer_iter().all(|point| distance(ArrayView1::from(&label), point, &allowed) > self.limit)
    }
}

/// Between two stars, with what is `allowed [K]` taken off the difference of every label.
fn distance(one: ArrayView1<f64>, other: ArrayView1<f64>, allowed: &[f64]) -> f64 {
    let pairs = one.iter().zip(other).zip(allowed);
    pairs.map(|((a, b), allowed)| ((a - b).abs() - allowed).max(0.0).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::line_list::{LABELS, Population};

    /// Stars of the same population are within, with permuted abundances too; those in corners that no star
    /// has are outside, unless their errors are as large as the way there.
    #[test]
    fn corners_without_stars_are_outside_and_new_stars_are_not() {
        let population = Population { wide: true, ..Population::default() };
        let all = population.labels(3200);
        let [names, units] = [LABELS.map(|label| label.0.to_owned()), LABELS.map(|label| label.1.to_owned())];
        let space = LabelSpace::covering(&names, &units, all.slice(ndarray::s![..1000, ..])).unwrap();
        let domain = Domain::of(&space, all.slice(ndarray::s![..200, ..])).unwrap();
        let share = |labels: ArrayView2<f64>, error: f64| {
            let scaled = space.scale(labels);
            scaled.outer_iter().filter(|row| domain.is_outside(*row, ArrayView1::from(&[error; 15]))).count() as f64
                / scaled.nrows() as f64
        };
        let new = all.slice(ndarray::s![1200.., ..]);
        let (ordinary, permuted) = (share(new, 0.0), share(population.permuted(new).view(), 0.0));
        let mut corner = new.to_owned();
        // The hottest stars with the lowest gravity.
        corner.column_mut(0).fill(space.maximum[0] - 0.05 * space.width(0));
        corner.column_mut(1).fill(space.minimum[1] + 0.05 * space.width(1));
        let (sure, unsure) = (share(corner.view(), 0.01), share(corner.view(), 0.3));
        println!(
            "outside: {ordinary:.4} of new stars, {permuted:.4} permuted, {sure:.3} in a corner, {unsure:.3} with large errors"
        );
        assert!(ordinary < 0.01 && permuted < 0.02 && sure > 0.95 && unsure < 0.05);
        assert!(Domain::of(&space, all.slice(ndarray::s![..20, ..])).is_none());
        assert!(!domain.is_outside(ArrayView1::from(&[f64::NAN; 15]), ArrayView1::from(&[0.0; 15])), "not fitted");
    }
}
