//! What of a star its distance follows from: the numbers of a catalogue checked, corrected and put together,
//! with the flags of what cannot be used.

use super::flags;
use super::measurements::Measurements;
use super::mixture::Moduli;
use super::options::{DistanceOptions, ParallaxContent, ZeroPointChoice};
use super::star::Star;
use super::zero_point::ecliptic_latitude;
use crate::statistics::Measured;

/// Numbers of a star that may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observables {
    /// What was subtracted from the parallax, mas; NaN where nothing was.
    pub zero_point: f64,
    /// mas, corrected.
    pub parallax: Option<Measured>,
    /// The magnitude without extinction; errors that are missing are zero.
    pub dereddened: Option<Measured>,
    /// On the geometric scale and with the error of the error model.
    pub absolute_magnitude: Option<Measured>,
    /// A parallax that has the measured one in it already, mas.
    pub whole: Option<Measured>,
    /// ln(d/kpc) of the spectrum alone: of the fitted parallax where there is one, else of the photometry.
    pub spectroscopic: Option<Measured>,
    /// The same of a single star and of a pair.
    pub moduli: Option<Moduli>,
    /// Those of what is not there, odd, or not used; of the photometry where that is needed.
    pub flags: i32,
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

impl Observables {
    /// Those of a star.
    pub fn of(star: &Star, options: &DistanceOptions) -> Self {
        let (mut flags, mut of_photometry) = (0, 0);
        let (zero_point, parallax) = corrected_parallax(star, options, &mut flags);
        let dereddened = dereddened(star, options, &mut of_photometry);
        let absolute_magnitude = absolute_magnitude(star, options, &mut of_photometry);
        let (whole, spectroscopic) = match (fitted_parallax(star, &mut flags), options.spectroscopic_parallax) {
            (Some(fitted), ParallaxContent::Flux) => (None, Measurements::ln_distance_of_parallax(fitted)),
            (Some(fitted), ParallaxContent::FluxAndParallax) => {
                (Some(fitted), without(fitted, parallax).and_then(Measurements::ln_distance_of_parallax))
            }
            (None, _) => {
                flags |= of_photometry;
                let modulus = dereddened.zip(absolute_magnitude).map(|(apparent, absolute)| Measured {
                    value: apparent.value - absolute.value,
                    error: (apparent.error.powi(2) + absolute.error.powi(2) + 2.0 * star.magnitude_covariance).max(0.0).sqrt(),
                });
                (None, modulus.map(Measurements::ln_distance_of_modulus))
            }
        };
        let moduli = spectroscopic.map(|ln_distance| match (&star.mixture, absolute_magnitude) {
            (Some(mixture), Some(_)) => Moduli::of_star(ln_distance, mixture),
            _ => Moduli::of_population(ln_distance, &options.binary.mixture),
        });
        Self { zero_point, parallax, dereddened, absolute_magnitude, whole, spectroscopic, moduli, flags }
    }

    /// Whether the parallax is at least so many times its error.
    pub fn has_parallax_of(&self, errors: f64) -> bool {
        self.parallax.is_some_and(|parallax| parallax.value >= errors * parallax.error)
    }
}

/// What is subtracted from the parallax, and the parallax.
fn corrected_parallax(star: &Star, options: &DistanceOptions, flags: &mut i32) -> (f64, Option<Measured>) {
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
    let zero_point = match options.zero_point {
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
    (zero_point, Some(Measured { value, error: parallax.error * options.parallax_error_factor }))
}

/// The magnitude without extinction; errors that are missing are zero.
fn dereddened(star: &Star, options: &DistanceOptions, flags: &mut i32) -> Option<Measured> {
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
    let error = errors[0].hypot(errors[1]).hypot(options.magnitude_error_floor);
    (!is_bad && value.is_finite() && (!is_negative || is_noise)).then_some(Measured { value, error })
}

/// The predicted absolute magnitude by the error model.
fn absolute_magnitude(star: &Star, options: &DistanceOptions, flags: &mut i32) -> Option<Measured> {
    // The scatter about what a mixture network predicts of noisy spectra has their noise in it.
    let own = star.mixture.map(|mixture| Measured { error: mixture.scatters[0], ..star.absolute_magnitude });
    let predicted = own.unwrap_or(star.absolute_magnitude);
    let Measured { value, error } = predicted;
    let is_bad = value.is_infinite() || error.is_infinite() || error < 0.0;
    let is_usable = !is_bad && !value.is_nan();
    let found = is_usable.then(|| options.error_model.corrected(predicted, star.snr)).flatten();
    *flags |= if is_bad { flags::BAD_PHOTOMETRY } else { 0 } | if found.is_none() { flags::NO_ABSOLUTE_MAGNITUDE } else { 0 };
    found
}

fn fitted_parallax(star: &Star, flags: &mut i32) -> Option<Measured> {
    match usable(star.spectroscopic_parallax) {
        Usable::Good(fitted) if fitted.value > 0.0 => Some(fitted),
        Usable::Missing => None,
        _ => {
            *flags |= flags::BAD_PHOTOMETRY;
            None
        }
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
