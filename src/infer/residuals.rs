//! Residuals of fits, as the check of a catalogue wants them.

use super::flags;
use super::part::Part;
use super::problem::Problem;
use crate::noise::Whitening;
use crate::observations::Observations;
use crate::optimise::Normal;
use crate::optimise::dense::{dot, invert_positive_semidefinite};
use crate::posterior::{Posterior, WhitenedFlux};
use crate::residuals::{Groups, MAGNITUDE, Mark, Products, Responses, packed};
use ndarray::{ArrayView1, ArrayView2, Axis};
use std::ops::Range;

/// Flags of stars that say nothing of their catalogue: without an optimum, or where the model is not to be
/// trusted.
const ASIDE: i32 =
    flags::NOT_FITTED | flags::NOT_CONVERGED | flags::OUTSIDE_TRAINING_RANGE | flags::UNLIKELY_LABELS | flags::AT_LIMIT;

/// What residuals are made from.
pub(super) struct ResidualMaker<'a> {
    pub problem: &'a Problem<'a>,
    pub posterior: &'a Posterior<'a>,
    pub observations: &'a Observations,
    pub groups: &'a Groups,
    /// Names of the free parameters whose measured values constrain fits, whether or not these stars have
    /// any.
    pub constraints: &'a [String],
}

/// The mark of a star with these flags.
pub(super) fn mark(bits: i32) -> Mark {
    Mark {
        is_fitted: bits & flags::NOT_FITTED == 0,
        is_poor: bits & flags::POOR_FIT != 0,
        is_outside: bits & (flags::OUTSIDE_TRAINING_RANGE | flags::UNLIKELY_LABELS) != 0,
        is_in_cut: bits < flags::BASIC_CUT,
    }
}

impl ResidualMaker<'_> {
    /// Residuals of the stars of a part at their optima, whose free coordinates are `[n, F]`, from the flux
    /// and the normal equations there.
    ///
    /// They are those of the optimum that all parameters would have if none had a bound, by one Newton step:
    /// at E = 0 the data of half of the stars want less dust than none, and residuals that were left there
    /// would look like an offset along the extinction curve.
    pub fn of(&self, part: &Part, free: ArrayView2<'_, f64>, (flux, normal): (&WhitenedFlux, &Normal)) -> Responses {
        let n_free = free.ncols();
        let mut responses = Responses::none(part.stars.len(), self.groups, self.constraints);
        let mut offsets = Offsets::new(self.groups);
        let mut products = Products::zeros(responses.score.ncols(), n_free);
        for (i, (&star, &bits)) in part.stars.iter().zip(&part.flags).enumerate() {
            (responses.chi_square[i], responses.degrees[i]) = (part.chi_square[i], part.degrees_of_freedom[i]);
            responses.marks[i] = mark(bits);
            if bits & ASIDE != 0 {
                continue;
            }
            let half: Vec<f64> = normal.curvature.index_axis(Axis(0), i).iter().map(|element| 0.5 * element).collect();
            let Some(inverse) = invert_positive_semidefinite(&half, n_free) else { continue };
            offsets.whiten(&self.observations.whitening, star, flux.flux.row(i));
            offsets.products(flux.residual.row(i), flux.jacobian.index_axis(Axis(0), i), &mut products);
            for (k, name) in self.constraints.iter().enumerate() {
                self.set_constraint(&mut products, self.groups.len() + k, name, (star, free.row(i)));
            }
            let gradient = normal.gradient.row(i);
            let step = |p: usize| -0.5 * (0..n_free).map(|q| inverse.matrix[p * n_free + q] * gradient[q]).sum::<f64>();
            products.move_along(&(0..n_free).map(step).collect::<Vec<f64>>());
            responses.put(i, &products, &inverse.matrix);
        }
        responses
    }

    /// The measured value of a parameter as a datum of a star, the `row`-th of its offsets, if there is one.
    fn set_constraint(&self, products: &mut Products, row: usize, name: &String, (star, free): (usize, ArrayView1<'_, f64>)) {
        let Some((value, error)) = self.observations.constraint(name, star).filter(|_| self.problem.constraints.contains(name))
        else {
            return;
        };
        let parameters = &self.problem.model.space.parameters;
        let Some(p) = self.posterior.free().iter().position(|&position| parameters[position].name == *name) else { return };
        let parameter = &parameters[self.posterior.free()[p]];
        let per_file_unit = parameter.model_units_per_file_unit;
        let fitted = parameter.model_value(free[p]) / per_file_unit;
        let slope = parameter.model_value_slope(free[p]) / per_file_unit;
        let precision = error.powi(-2);
        products.score[row] = (value - fitted) * precision;
        products.plain[packed(row, row)] = precision;
        products.crossed[row * free.len() + p] = slope * precision;
    }
}

/// Whitened directions of the offsets of a star's groups of fluxes.
struct Offsets<'a> {
    groups: &'a Groups,
    /// Entries of every group, from its first to its last.
    entries: Vec<Range<usize>>,
    /// Where the whitened direction of a group is not zero.
    support: Vec<Range<usize>>,
    /// Of a magnitude, before whitening `[W]` of one group and after it `[G][W]`.
    plain: Vec<f32>,
    white: Vec<f32>,
}

impl<'a> Offsets<'a> {
    fn new(groups: &'a Groups) -> Self {
        let w = groups.of_entry.len();
        let entries: Vec<Range<usize>> = (0..groups.len())
            .map(|group| {
                let is_in = |other: &usize| *other == group;
                let first = groups.of_entry.iter().position(is_in).unwrap_or(0);
                first..groups.of_entry.iter().rposition(is_in).map_or(first, |last| last + 1)
            })
            .collect();
        Self { groups, support: entries.clone(), entries, plain: vec![0.0; w], white: vec![0.0; groups.len() * w] }
    }

    /// Takes the directions of a star whose predicted fluxes are `[W]`.
    fn whiten(&mut self, whitening: &Whitening, star: usize, predicted: ArrayView1<'_, f32>) {
        let w = self.plain.len();
        for (group, entries) in self.entries.iter().enumerate() {
            for at in entries.clone() {
                let is_in = self.groups.of_entry[at] == group;
                self.plain[at] = if is_in { MAGNITUDE as f32 * predicted[at] } else { 0.0 };
            }
            let white = &mut self.white[group * w..(group + 1) * w];
            self.support[group] = whitening.whiten_part(star, entries.clone(), &self.plain, white);
        }
    }

    /// Products of the directions with data less model and with the slopes `[F, W]`, whitened all; `residual`
    /// is model less data. Those of what is no flux are zero.
    fn products(&self, residual: ArrayView1<'_, f32>, slopes: ArrayView2<'_, f32>, products: &mut Products) {
        let (w, n_free) = (self.plain.len(), slopes.nrows());
        let (Some(residual), Some(slopes)) = (residual.to_slice(), slopes.to_slice()) else { return };
        products.clear();
        for (a, support) in self.support.iter().enumerate() {
            let direction = |b: usize, range: &Range<usize>| &self.white[b * w..(b + 1) * w][range.clone()];
            let own = direction(a, support);
            products.score[a] = -dot(own, &residual[support.clone()]);
            for (b, other) in self.support[..=a].iter().enumerate() {
                let both = support.start.max(other.start)..support.end.min(other.end);
                if !both.is_empty() {
                    products.plain[packed(a, b)] = dot(direction(a, &both), direction(b, &both));
                }
            }
            for (p, slope) in slopes.chunks_exact(w).enumerate() {
                products.crossed[a * n_free + p] = dot(own, &slope[support.clone()]);
            }
        }
    }
}
