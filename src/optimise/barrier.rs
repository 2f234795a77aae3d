//! A positive quantity that is moved as its logarithm: steps that know that data are a parabola in the
//! quantity itself, with a wall at zero.

use super::check_setting;
use crate::error::{Error, Result};

/// A coordinate u with ln x = constant + s u, in a loss D − 2 ln x whose D is nearly a parabola in x, as that
/// of an amount of dust is.
///
/// Where x is consistent with zero, no parabola in u follows such a loss far: its steps towards larger x are
/// too long by what an exponential is above its tangent, and those along the plateau at zero too short. In
/// d = (x/x₀ − 1)/s, which is u − u₀ to first order, D is a parabola, and the minimum of a parabola − 2 ln x
/// is a closed form (see [`maximum_a_posteriori`](crate::prior::maximum_a_posteriori)).
///
/// Gradient and curvature of a [`Normal`](super::Normal) with a barrier contain those of −2 ln x as
/// [`positivity`](crate::prior::positivity) has them: −2 s and 2 s².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Barrier {
    /// Which coordinate.
    pub position: usize,
    /// s, positive.
    pub scale: f64,
}

impl Barrier {
    /// Checks the barriers of a problem.
    ///
    /// # Errors
    /// `Usage` for a coordinate that is not there, or has two, and for a scale that is not positive.
    pub(super) fn validate_all(barriers: &[Self], n_parameters: usize) -> Result<()> {
        barriers.iter().try_for_each(|barrier| barrier.validate(n_parameters))?;
        let twice =
            barriers.iter().enumerate().find(|(k, one)| barriers[..*k].iter().any(|other| other.position == one.position));
        match twice {
            Some((_, barrier)) => Err(Error::usage("barriers of the minimisation")
                .found(format!("two of coordinate {}", barrier.position))
                .expected("one for each coordinate at most")),
            None => Ok(()),
        }
    }

    /// Checks it against the number of coordinates.
    fn validate(self, n_parameters: usize) -> Result<()> {
        if self.position >= n_parameters {
            return Err(Error::usage("barrier of the minimisation")
                .found(format!("coordinate {}", self.position))
                .expected(format!("one of the first {n_parameters}")));
        }
        check_setting("scale of the barrier", self.scale, self.scale > 0.0 && self.scale.is_finite(), "a positive number")
    }

    /// d of a change of u.
    pub fn displacement(self, change: f64) -> f64 {
        (self.scale * change).exp_m1() / self.scale
    }

    /// d and the change of u where x becomes `ratio` times as large.
    pub(super) fn step_to(self, ratio: f64) -> (f64, f64) {
        ((ratio - 1.0) / self.scale, ratio.ln() / self.scale)
    }

    /// What is added to the curvature of the loss for that of D.
    pub(super) fn curvature_of_data(self) -> f64 {
        -2.0 * self.scale * self.scale
    }

    /// What is added to the gradient of the loss for that of D.
    pub(super) fn gradient_of_data(self) -> f64 {
        2.0 * self.scale
    }

    /// What the loss after a `change` of u, of the given `displacement`, is above the parabola of gradient
    /// and curvature.
    pub fn above_parabola(self, displacement: f64, change: f64) -> f64 {
        let t = self.scale * displacement;
        2.0 * (t - self.scale * change) - t * t
    }

    /// x over x₀ at the minimum of (d − `displacement`)²/(2 `variance`) − 2 ln x; positive.
    pub(super) fn ratio_at_minimum(self, displacement: f64, variance: f64) -> f64 {
        let ratio = 1.0 + self.scale * displacement;
        let square = 8.0 * self.scale * self.scale * variance;
        let root = (ratio * ratio + square).sqrt();
        // For a negative ratio the sum would cancel.
        if ratio < 0.0 { 0.5 * square / (root - ratio) } else { 0.5 * (ratio + root) }
    }

    /// The pull of −2 ln x on d there.
    pub(super) fn pull(self, ratio: f64) -> f64 {
        2.0 * self.scale / ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::maximum_a_posteriori;

    #[test]
    fn the_minimum_is_that_of_a_gaussian_with_a_flat_prior_on_positive_values() {
        for scale in [1.0, 0.4] {
            let barrier = Barrier { position: 0, scale };
            for (value, error, from) in [(0.1, 0.05, 0.3), (-0.1, 0.05, 0.02), (0.0, 0.03, 1.0), (-2.0, 0.01, 0.1)] {
                // D = ((x − value)/error)² with x = from (1 + s d).
                let free = (value / from - 1.0) / scale;
                let variance = 0.5 * (error / (from * scale)).powi(2);
                let ratio = barrier.ratio_at_minimum(free, variance);
                let (displacement, change) = barrier.step_to(ratio);
                let x = from * (scale * change).exp();
                assert!((free + variance * barrier.pull(ratio) - displacement).abs() < 1e-9 * free.abs().max(1.0));
                assert!((x / maximum_a_posteriori(value, error) - 1.0).abs() < 1e-9, "{value} {error} {from}: {x}");
            }
            let d = barrier.displacement(0.7);
            assert!((barrier.step_to(1.0 + scale * d).1 - 0.7).abs() < 1e-14);
            assert!(
                barrier.validate(0).is_err()
                    && Barrier { scale: 0.0, ..barrier }.validate(1).is_err()
                    && barrier.validate(1).is_ok()
            );
            // −2 ln x against its tangent and the curvature that stands for it.
            let exact = -2.0 * scale * 0.7;
            assert!((-2.0 * scale * d + (scale * d).powi(2) + barrier.above_parabola(d, 0.7) - exact).abs() < 1e-13);
        }
    }
}
