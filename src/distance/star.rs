//! One star: from what a catalogue has to a distance, a test of binarity, and flags.

use super::combine::{Combination, combine};
use super::excess::parallax_excess;
use super::flags;
use super::magnitude::geometric_absolute_magnitude;
use super::measurements::Measurements;
use super::mixture::{StarMixture, binary_probability};
use super::observables::Observables;
use super::options::{BinaryCriterion, BinaryDistance, DistanceOptions};
use super::position::LineOfSight;
use super::posterior::{Density, DistancePosterior, Workspace};
use super::zero_point::Astrometry;
use crate::error::Result;
use crate::statistics::Measured;

/// What a catalogue has of a star. NaN is missing; infinite is a number beyond reason, which is used for
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Star {
    /// What the zero point depends on; its ecliptic latitude may be missing where the position is not.
    pub astrometry: Astrometry,
    /// As the catalogue has it, mas.
    pub parallax: Measured,
    pub ruwe: f64,
    /// ICRS, deg.
    pub position: [f64; 2],
    /// Apparent magnitude in the band of the absolute one.
    pub magnitude: Measured,
    /// A in that band, mag.
    pub extinction: Measured,
    /// As predicted; of a star with a mixture of its own, that of a single star.
    pub absolute_magnitude: Measured,
    /// Covariance of the errors of extinction and absolute magnitude, mag²: both follow from the same labels
    /// where [`super::neighbours`] made them.
    pub magnitude_covariance: f64,
    /// As predicted; in place of that of the options, and its scatter in place of the error of
    /// `absolute_magnitude`.
    pub mixture: Option<StarMixture>,
    /// As fitted, mas; where there is one, it is used in place of the magnitudes.
    pub spectroscopic_parallax: Measured,
    /// Of the spectrum, per pixel.
    pub snr: f64,
}

impl Star {
    /// A star of which nothing is known.
    pub const MISSING: Self = Self {
        astrometry: Astrometry::MISSING,
        parallax: NOTHING,
        ruwe: f64::NAN,
        position: [f64::NAN; 2],
        magnitude: NOTHING,
        extinction: NOTHING,
        absolute_magnitude: NOTHING,
        magnitude_covariance: 0.0,
        mixture: None,
        spectroscopic_parallax: NOTHING,
        snr: f64::NAN,
    };
}

const NOTHING: Measured = Measured { value: f64::NAN, error: f64::NAN };

/// What is found of a star.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What was subtracted from the parallax, mas; NaN where nothing was.
    pub zero_point: f64,
    /// mas, corrected.
    pub parallax: Option<Measured>,
    /// The absolute magnitude on the geometric scale and with the error of the error model.
    pub absolute_magnitude: Option<Measured>,
    /// Of magnitude and parallax.
    pub geometric_magnitude: Option<Measured>,
    /// mas.
    pub spectroscopic_parallax: Option<Measured>,
    /// S/N_Δϖ.
    pub parallax_excess: Option<f64>,
    pub binary_probability: Option<f64>,
    /// `None` where the criterion cannot be judged.
    pub is_binary: Option<bool>,
    pub posterior: Option<DistancePosterior>,
    /// Without a prior.
    pub combination: Option<Combination>,
    /// Galactocentric x, y, z at the mode, kpc.
    pub galactocentric: Option<[f64; 3]>,
    pub flags: i32,
}

/// Makes estimates, one star after the other, with memory of its own.
#[derive(Debug)]
pub struct DistanceEstimator {
    options: DistanceOptions,
    workspace: Workspace,
}

impl DistanceEstimator {
    /// With options that hold for all stars.
    ///
    /// # Errors
    /// When the options are impossible.
    pub fn new(options: DistanceOptions) -> Result<Self> {
        options.validate()?;
        Ok(Self { options, workspace: Workspace::default() })
    }

    /// The options.
    pub fn options(&self) -> &DistanceOptions {
        &self.options
    }

    /// The estimate of a star; whatever its numbers are, it has one.
    pub fn estimate(&mut self, star: &Star) -> Estimate {
        let sight = LineOfSight::towards(star.position[0], star.position[1]);
        let Observables { zero_point, parallax, dereddened, absolute_magnitude, whole, spectroscopic, moduli, mut flags } =
            Observables::of(star, &self.options);
        let geometric_magnitude = dereddened.zip(parallax).and_then(|(m, parallax)| geometric_absolute_magnitude(m, parallax));
        let spectroscopic_parallax = spectroscopic.map(|ln| {
            let value = (-ln.value).exp();
            Measured { value, error: value * ln.error }
        });
        let both = spectroscopic_parallax.zip(parallax);
        let excess = both.map(|(spectroscopic, measured)| parallax_excess(spectroscopic, measured));
        if excess.is_some_and(|excess| excess.abs() > flags::LARGEST_PULL) {
            flags |= flags::DISAGREE;
        }
        let binary_probability =
            moduli.zip(parallax).map(|(moduli, parallax)| binary_probability(parallax, &moduli, &mut self.workspace));
        let by = self.options.binary.fainter_by;
        let is_above = |a: Measured, b: Measured| a.value - b.value > by * a.error.hypot(b.error);
        let is_fainter = match (absolute_magnitude, geometric_magnitude) {
            (Some(predicted), Some(geometric)) => Some(is_above(predicted, geometric)),
            // The same in parallaxes, where there is no absolute magnitude.
            _ => both
                .filter(|(_, measured)| measured.value > 0.0)
                .map(|(spectroscopic, measured)| is_above(spectroscopic, measured)),
        };
        let is_binary = self.is_binary(excess, binary_probability.zip(is_fainter));
        let treatment = self.options.binary.distance;
        let is_alone = treatment == BinaryDistance::ParallaxAlone && is_binary == Some(true);
        if is_alone {
            flags |= flags::PARALLAX_ALONE;
        }
        if star.ruwe > self.options.combination.ruwe {
            flags |= flags::HIGH_RUWE;
        }
        let combination = combine(parallax, spectroscopic, (star.ruwe, is_alone), &self.options.combination);
        let measurements = match (whole, moduli.filter(|_| treatment == BinaryDistance::Mixture)) {
            (_, Some(moduli)) => Measurements { parallax, ln_distance: Some(moduli.single), of_pair: Some(moduli.pair) },
            (Some(_), None) if !is_alone => Measurements { parallax: whole, ln_distance: None, of_pair: None },
            _ => Measurements { parallax, ln_distance: spectroscopic.filter(|_| !is_alone), of_pair: None },
        };
        let posterior = self.posterior(measurements, sight.as_ref(), &mut flags);
        let galactocentric = posterior.as_ref().zip(sight).map(|(posterior, sight)| sight.at(posterior.mode));
        Estimate {
            zero_point,
            parallax,
            absolute_magnitude,
            geometric_magnitude,
            spectroscopic_parallax,
            parallax_excess: excess,
            binary_probability,
            is_binary,
            posterior,
            combination,
            galactocentric,
            flags,
        }
    }

    fn is_binary(&self, excess: Option<f64>, probability: Option<(f64, bool)>) -> Option<bool> {
        let options = &self.options.binary;
        let by_excess = excess.map(|excess| excess > options.excess_threshold);
        let by_mixture = probability.map(|(probability, is_fainter)| probability > options.probability_threshold && is_fainter);
        match options.criterion {
            BinaryCriterion::ParallaxExcess => by_excess,
            BinaryCriterion::Mixture => by_mixture,
            BinaryCriterion::Both => by_excess.zip(by_mixture).map(|(a, b)| a && b),
        }
    }

    fn posterior(
        &mut self,
        measurements: Measurements,
        sight: Option<&LineOfSight>,
        flags: &mut i32,
    ) -> Option<DistancePosterior> {
        if self.options.prior.needs_position() && sight.is_none() {
            *flags |= flags::NO_POSITION;
        }
        let density = Density { measurements, prior: self.options.prior, sight, range: self.options.range };
        let found = density.posterior(&mut self.workspace);
        if found.is_some_and(|found| found.is_limited) {
            *flags |= flags::RANGE_LIMITED;
        }
        if found.is_some_and(|found| found.is_unresolved) {
            *flags |= flags::UNRESOLVED;
        }
        let found = found.filter(|found| !found.is_limited);
        if found.is_none() {
            *flags |= flags::NO_DISTANCE;
        }
        found
    }
}

#[cfg(test)]
#[path = "star_tests.rs"]
mod tests;
