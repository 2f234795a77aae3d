//! Which quality flags the fit of a star has.

use super::flags;
use super::part::Part;
use crate::model::{ForwardModel, Parameter};
use crate::observations::Observations;
use crate::optimise::{Bounds, Status};
use crate::statistics::chi_square_tail;
use crate::train::TrainedModel;

/// Errors of labels and amounts are none when they are larger than this many times the range of the training.
const LARGEST_ERROR: f64 = 10.0;
/// By how much the fit must be better than no flux at all, in χ²: a star of five errors.
const DETECTION: f64 = 25.0;
/// Mean square of f/σ above which no star is taken for none.
const CLEAR_SIGNAL: f64 = 9.0;

/// What the flags of stars are judged by.
pub(super) struct Quality<'a> {
    pub model: &'a ForwardModel,
    pub trained: &'a TrainedModel,
    pub observations: &'a Observations,
    /// Positions of the fitted parameters.
    pub free: &'a [usize],
    /// Parameters whose measured values entered.
    pub constraints: &'a [String],
    /// Positions of the amounts that may be zero.
    pub amounts: &'a [usize],
    /// Of the fitted parameters.
    pub bounds: &'a Bounds,
}

impl Quality<'_> {
    /// The flags of row `i`, whose search ended with this status.
    pub fn flags(&self, part: &Part, i: usize, status: Status) -> i32 {
        let labels = self.model.space.parameters.iter().enumerate().filter(|(_, parameter)| parameter.is_label());
        let is_outside = |(p, parameter): (usize, &Parameter)| {
            let value = part.values[[i, p]] * parameter.model_units_per_file_unit;
            parameter.training_range.is_some_and(|[low, high]| !(low..=high).contains(&value))
        };
        let outside = labels.into_iter().any(is_outside);
        let [parallax_disagrees, constraint_violated] = self.disagreements(part, i);
        let is_told = !self.has_no_errors(part, i) && self.is_detected(part, i);
        let unlikely = self.trained.prior.ln_density_threshold().is_some_and(|limit| part.ln_prior[i] < limit);
        [
            (is_poor(part.chi_square[i], part.degrees_of_freedom[i]), flags::POOR_FIT),
            (unlikely, flags::UNLIKELY_LABELS),
            (parallax_disagrees, flags::PARALLAX_DISAGREES),
            (constraint_violated, flags::CONSTRAINT_VIOLATED),
            (self.is_at_limit(part, i), flags::AT_LIMIT),
            (!status.is_optimum() || !is_told, flags::NOT_CONVERGED),
            (part.eigenvalue[i] <= 0.0, flags::NOT_A_MINIMUM),
            (outside, flags::OUTSIDE_TRAINING_RANGE),
            (part.second_delta_loss[i].is_finite(), flags::SECOND_OPTIMUM),
        ]
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .fold(0, |sum, (_, flag)| sum | flag)
    }

    /// Whether a parameter has no error, or one that says that nothing is known of it.
    fn has_no_errors(&self, part: &Part, i: usize) -> bool {
        self.free.iter().enumerate().any(|(p, &position)| {
            let parameter = &self.model.space.parameters[position];
            let error = part.covariance[[i, p, p]].sqrt() * parameter.model_units_per_file_unit;
            let range = parameter.training_range.filter(|_| !parameter.is_distance());
            !error.is_finite() || range.is_some_and(|[low, high]| error > LARGEST_ERROR * (high - low))
        })
    }

    /// Whether the fluxes are a star's and not noise about nothing, which dust enough explains as well as
    /// any.
    fn is_detected(&self, part: &Part, i: usize) -> bool {
        let star = part.stars[i];
        let (flux, error) = (self.observations.flux.row(star), self.observations.flux_error.row(star));
        let usable = flux.iter().zip(&error).filter(|(_, error)| error.is_finite());
        let (n, sum) = usable.fold((0, 0.0), |(n, sum), (f, e)| (n + 1, sum + f64::from(f / e).powi(2)));
        if sum > CLEAR_SIGNAL * f64::from(n) {
            return true;
        }
        let gain = self.observations.chi_square_of_nothing(star) - part.chi_square[i];
        // What is no number is judged by other flags.
        gain.is_nan() || gain >= DETECTION
    }

    /// Whether the parallax is far from the measured one, and whether a measurement that entered is violated.
    fn disagreements(&self, part: &Part, i: usize) -> [bool; 2] {
        let mut found = [false; 2];
        for (p, parameter) in self.model.space.parameters.iter().enumerate() {
            let Some((value, error)) = self.observations.constraint(&parameter.name, part.stars[i]) else { continue };
            let is_constraint = self.constraints.contains(&parameter.name);
            // |x − x̂| in the error of the measurement; in both errors where the measurement did not enter the fit.
            let own = self.free.iter().position(|&free| free == p).map_or(0.0, |free| part.covariance[[i, free, free]].sqrt());
            let own = if own.is_finite() { own } else { 0.0 };
            let error = if is_constraint { error } else { error.hypot(own) };
            let is_far = (part.values[[i, p]] - value).abs() > flags::LARGEST_PULL * error;
            found[0] |= is_far && parameter.is_distance();
            found[1] |= is_far && is_constraint;
        }
        found
    }

    /// Whether a fitted parameter is at a limit. An amount of zero is an answer, not a limit of the model.
    fn is_at_limit(&self, part: &Part, i: usize) -> bool {
        self.free.iter().enumerate().any(|(p, &position)| {
            let x = part.coordinates[[i, position]];
            (x <= self.bounds.lower[p] && !self.amounts.contains(&position)) || x >= self.bounds.upper[p]
        })
    }
}

/// Whether χ² is larger than noise makes it for all but one star in [so
/// many](flags::SMALLEST_TAIL_PROBABILITY).
pub(crate) fn is_poor(chi_square: f64, degrees_of_freedom: f64) -> bool {
    // Nearly all stars need no probability: the limit lies above the mean by more than three standard
    // deviations.
    let may_be = chi_square > degrees_of_freedom + 3.0 * (2.0 * degrees_of_freedom).sqrt() || degrees_of_freedom < 0.5;
    may_be && chi_square_tail(chi_square, degrees_of_freedom) < flags::SMALLEST_TAIL_PROBABILITY
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17.1: scipy.stats.chi2.isf(1e-3, n).
    #[test]
    fn one_good_fit_in_a_thousand_is_poor() {
        for (degrees, limit) in [(0.5, 8.753), (3.0, 16.266), (4.5, 19.506), (61.0, 100.888)] {
            assert!(!is_poor(0.999 * limit, degrees) && is_poor(1.001 * limit, degrees), "{degrees}");
        }
        assert!(!is_poor(0.0, 61.0) && !is_poor(f64::NAN, f64::NAN));
    }
}
