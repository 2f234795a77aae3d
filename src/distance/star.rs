//! One star: from what a catalogue has to a distance, a test of binarity, and flags.

use super::combine::{Combination, combine};
use super::excess::parallax_excess;
use super::flags;
use super::magnitude::geometric_absolute_magnitude;
use super::measurements::Measurements;
use super::mixture::binary_probability;
use super::options::{BinaryCriterion, DistanceOptions, ParallaxContent, ZeroPointChoice};
use super::position::LineOfSight;
use super::posterior::{Density, DistancePosterior, Workspace};
use super::zero_point::{Astrometry, ecliptic_latitude};
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
    /// As predicted.
    pub absolute_magnitude: Measured,
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

/// A number and its error as they may be used.
enum Usable {
    Missing,
    Bad,
    Good(Measured),
}

/// No measurement is exact to more than this many parts.
const MOST_EXACT: f64 = 1e8;

fn usable(number: Measured) -> Usable {
    match number {
        Measured { value, error } if value.abs().max(1e-3) > MOST_EXACT * error => Usable::Bad,
        Measured { value, error } if value.is_infinite() || error.is_infinite() || error <= 0.0 => Usable::Bad,
        Measured { value, error } if value.is_nan() || error.is_nan() => Usable::Missing,
        number => Usable::Good(number),
    }
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
        let mut flags = 0;
        let sight = LineOfSight::towards(star.position[0], star.position[1]);
        let (zero_point, parallax) = self.parallax(star, &mut flags);
        let dereddened = self.dereddened(star, &mut flags);
        let absolute_magnitude = self.absolute_magnitude(star, &mut flags);
        let (whole, spectroscopic) = self.spectroscopic(star, parallax, dereddened, absolute_magnitude, &mut flags);
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
        let mixture = &self.options.binary.mixture;
        let binary_probability =
            spectroscopic.zip(parallax).map(|(ln, parallax)| binary_probability(parallax, ln, mixture, &mut self.workspace));
        let is_fainter = match (absolute_magnitude, geometric_magnitude) {
            (Some(predicted), Some(geometric)) => Some(predicted.value > geometric.value),
            // The same in parallaxes, where there is no absolute magnitude.
            _ => both
                .filter(|(_, measured)| measured.value > 0.0)
                .map(|(spectroscopic, measured)| spectroscopic.value > measured.value),
        };
        let is_binary = self.is_binary(excess, binary_probability.zip(is_fainter));
        let is_alone = self.options.binary.parallax_alone && is_binary == Some(true);
        if is_alone {
            flags |= flags::PARALLAX_ALONE;
        }
        if star.ruwe > self.options.combination.ruwe {
            flags |= flags::HIGH_RUWE;
        }
        let combination = combine(parallax, spectroscopic, (star.ruwe, is_alone), &self.options.combination);
        let measurements = match whole {
            Some(_) if !is_alone => Measurements { parallax: whole, ln_distance: None },
            _ => Measurements { parallax, ln_distance: spectroscopic.filter(|_| !is_alone) },
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

    /// What is subtracted from the parallax, and the parallax.
    fn parallax(&self, star: &Star, flags: &mut i32) -> (f64, Option<Measured>) {
        let parallax = match usable(star.parallax) {
            Usable::Good(parallax) => parallax,
            Usable::Missing => {
                *flags |= flags::NO_PARALLAX;
                return (f64::NAN, None);
            }
            Usable::Bad => {
                *flags |= flags::BAD_PARALLAX;
                return (f64::NAN, None);
            }
        };
        let zero_point = match self.options.zero_point {
            ZeroPointChoice::None => f64::NAN,
            ZeroPointChoice::Constant { value } => value,
            ZeroPointChoice::Lindegren2021 => {
                let mut astrometry = star.astrometry;
                if astrometry.ecliptic_latitude.is_nan() {
                    astrometry.ecliptic_latitude = ecliptic_latitude(star.position[0], star.position[1]);
                }
                let found = astrometry.zero_point();
                *flags |= match found {
                    None => flags::NO_ZERO_POINT,
                    Some(found) if found.is_extrapolated => flags::ZERO_POINT_EXTRAPOLATED,
                    Some(_) => 0,
                };
                found.map_or(f64::NAN, |found| found.value)
            }
        };
        let value = if zero_point.is_nan() { parallax.value } else { parallax.value - zero_point };
        (zero_point, Some(Measured { value, error: parallax.error * self.options.parallax_error_factor }))
    }

    /// The magnitude without extinction; errors that are missing are zero.
    fn dereddened(&self, star: &Star, flags: &mut i32) -> Option<Measured> {
        let known = |error: f64| if error.is_nan() { 0.0 } else { error };
        let (magnitude, extinction) = (star.magnitude, star.extinction);
        let errors = [known(magnitude.error), known(extinction.error)];
        let is_bad = [magnitude.value, extinction.value].iter().any(|value| value.is_infinite())
            || errors.iter().any(|error| !error.is_finite() || *error < 0.0);
        let is_negative = extinction.value < 0.0;
        let is_noise = extinction.value >= -3.0 * errors[1];
        *flags |= if is_bad { flags::BAD_PHOTOMETRY } else { 0 }
            | if magnitude.value.is_nan() { flags::NO_MAGNITUDE } else { 0 }
            | if extinction.value.is_nan() { flags::NO_EXTINCTION } else { 0 }
            | if is_negative { flags::NEGATIVE_EXTINCTION } else { 0 };
        let value = magnitude.value - extinction.value;
        let error = errors[0].hypot(errors[1]).hypot(self.options.magnitude_error_floor);
        (!is_bad && value.is_finite() && (!is_negative || is_noise)).then_some(Measured { value, error })
    }

    fn absolute_magnitude(&self, star: &Star, flags: &mut i32) -> Option<Measured> {
        let Measured { value, error } = star.absolute_magnitude;
        if value.is_infinite() || error.is_infinite() || error < 0.0 {
            *flags |= flags::BAD_PHOTOMETRY;
            return None;
        }
        if value.is_nan() { None } else { self.options.error_model.corrected(star.absolute_magnitude, star.snr) }
    }

    /// A parallax that has everything in it, and ln d of the spectrum alone.
    fn spectroscopic(
        &self,
        star: &Star,
        parallax: Option<Measured>,
        dereddened: Option<Measured>,
        absolute_magnitude: Option<Measured>,
        flags: &mut i32,
    ) -> (Option<Measured>, Option<Measured>) {
        let fitted = match usable(star.spectroscopic_parallax) {
            Usable::Good(fitted) if fitted.value > 0.0 => Some(fitted),
            Usable::Missing => None,
            _ => {
                *flags |= flags::BAD_PHOTOMETRY;
                None
            }
        };
        match (fitted, self.options.spectroscopic_parallax) {
            (Some(fitted), ParallaxContent::Flux) => {
                *flags &= !(flags::NO_MAGNITUDE | flags::NO_EXTINCTION);
                (None, Measurements::ln_distance_of_parallax(fitted))
            }
            (Some(fitted), ParallaxContent::FluxAndParallax) => {
                *flags &= !(flags::NO_MAGNITUDE | flags::NO_EXTINCTION);
                (Some(fitted), without(fitted, parallax).and_then(Measurements::ln_distance_of_parallax))
            }
            (None, _) => {
                if absolute_magnitude.is_none() {
                    *flags |= flags::NO_ABSOLUTE_MAGNITUDE;
                }
                let modulus = dereddened.zip(absolute_magnitude).map(|(apparent, absolute)| Measured {
                    value: apparent.value - absolute.value,
                    error: apparent.error.hypot(absolute.error),
                });
                (None, modulus.map(Measurements::ln_distance_of_modulus))
            }
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

/// The parallax of the flux alone: what a measured one adds to a fit of both is taken out. `None` where the
/// fit is hardly better than the measurement.
fn without(fitted: Measured, measured: Option<Measured>) -> Option<Measured> {
    /// The least part of the fit's precision that must be the flux's.
    const LEAST: f64 = 0.02;
    let Some(measured) = measured else { return Some(fitted) };
    let [whole, part] = [fitted, measured].map(|parallax| parallax.error.powi(-2));
    let rest = whole - part;
    let value = (whole * fitted.value - part * measured.value) / rest;
    (rest > LEAST * whole && value > 0.0).then(|| Measured { value, error: rest.sqrt().recip() })
}

#[cfg(test)]
#[path = "star_tests.rs"]
mod tests;
