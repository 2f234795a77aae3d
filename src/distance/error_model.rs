//! Errors of predicted absolute magnitudes, as a model of four numbers, from stars with good parallaxes
//! (Xiang et al. 2021, eqs. 7–14):
//!
//! ```text
//! M_o ~ N((1 + ε) M_geo + δ, σ)      σ² = σ_int² + (σ_s100 / (S/N / 100))² + (1 + ε)² ((5/ln 10 · δϖ/ϖ)² + δm₀²)
//! ```
//!
//! The factor (1 + ε)², which the print of eq. 14 lacks, belongs to the error of M_geo. Binaries are cut
//! iteratively where M_o − M_geo is above a number of σ, and the likelihood is that of a normal distribution
//! without what the cut takes: cutting at 2σ and fitting a whole one makes σ 12 % too small.

use super::magnitude::geometric_absolute_magnitude;
use super::maximise::{LogLikelihood, maximise};
use super::observables::Observables;
use super::options::DistanceOptions;
use super::sampler::{Chain, SamplerOptions, sample};
use super::star::Star;
use crate::error::{Error, Result};
use crate::statistics::{Measured, normal_cdf};
use serde::{Deserialize, Serialize};

/// ε, δ, σ_int and σ_s100 in mag; all zero where predictions are right and their errors stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorModel {
    /// ε: by how much the scale of predicted M is too long.
    pub slope: f64,
    /// δ, mag.
    pub shift: f64,
    /// σ_int, mag.
    pub intrinsic: f64,
    /// σ_s100: scatter by the noise of a spectrum of S/N = 100, mag.
    pub at_snr_100: f64,
}

/// A star with a good parallax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationStar {
    /// Predicted absolute magnitude.
    pub absolute_magnitude: f64,
    /// Signal-to-noise ratio of the spectrum per pixel.
    pub snr: f64,
    /// Magnitude without extinction.
    pub dereddened: Measured,
    /// mas, corrected for the zero point.
    pub parallax: Measured,
}

impl CalibrationStar {
    /// What calibration takes of a star; `None` where its parallax or magnitude cannot be used.
    pub fn of(star: &Star, options: &DistanceOptions) -> Option<Self> {
        let Observables { parallax, dereddened, .. } = Observables::of(star, options);
        let absolute_magnitude = star.absolute_magnitude.value;
        Some(Self { absolute_magnitude, snr: star.snr, dereddened: dereddened?, parallax: parallax? })
    }
}

/// How to calibrate.
#[derive(Debug, Clone, Copy)]
pub struct CalibrationOptions {
    /// Least ϖ/σ.
    pub parallax_over_error: f64,
    /// σ above which M_o − M_geo is that of a binary; infinite to cut nothing.
    pub cut: f64,
    /// Fits, each with the cut of the one before.
    pub iterations: usize,
    pub sampler: SamplerOptions,
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        Self { parallax_over_error: 10.0, cut: 2.0, iterations: 4, sampler: SamplerOptions::default() }
    }
}

/// A calibrated error model.
#[derive(Debug, Clone)]
pub struct Calibration {
    pub model: ErrorModel,
    /// 1σ errors of its four numbers, of the samples.
    pub errors: [f64; 4],
    /// Stars that entered, and those that the last cut left.
    pub n_stars: usize,
    pub n_kept: usize,
    pub chain: Chain,
}

impl ErrorModel {
    /// Whether the numbers are possible.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value, is_possible, expected) in [
            ("error_model.slope", self.slope, self.slope.abs() < 1.0, "a number between -1 and 1"),
            ("error_model.shift", self.shift, true, "a number of magnitudes"),
            ("error_model.intrinsic", self.intrinsic, self.intrinsic >= 0.0, "no negative number of magnitudes"),
            ("error_model.at_snr_100", self.at_snr_100, self.at_snr_100 >= 0.0, "no negative number of magnitudes"),
        ] {
            if !(value.is_finite() && is_possible) {
                return Err(Error::usage(key).found(value.to_string()).expected(expected));
            }
        }
        Ok(())
    }

    /// A predicted magnitude on the geometric scale, with the error of the model in quadrature to its own
    /// (NaN where it has none). `None` where that leaves no positive error, or the model needs a
    /// signal-to-noise ratio that is not known.
    pub fn corrected(&self, predicted: Measured, snr: f64) -> Option<Measured> {
        let of_noise = if self.at_snr_100 > 0.0 { self.at_snr_100 * 100.0 / snr } else { 0.0 };
        let own = if predicted.error.is_nan() { 0.0 } else { predicted.error };
        let error = own.hypot(self.intrinsic).hypot(of_noise) / (1.0 + self.slope);
        let value = (predicted.value - self.shift) / (1.0 + self.slope);
        (error.is_finite() && error > 0.0 && of_noise >= 0.0).then_some(Measured { value, error })
    }

    /// The model that the stars are most probable under, and the errors of its numbers.
    ///
    /// # Errors
    /// `Data` when fewer than ten stars are good enough; `Numerical` when there is no maximum.
    pub fn calibrate(stars: &[CalibrationStar], options: &CalibrationOptions) -> Result<Calibration> {
        const LEAST: usize = 10;
        let mut residuals: Vec<Residual> =
            stars.iter().filter_map(|star| Residual::of(star, options.parallax_over_error)).collect();
        let n_stars = residuals.len();
        if n_stars < LEAST {
            return Err(Error::data("stars for the error model")
                .found(format!(
                    "{n_stars} of {} with parallaxes of {} sigma, a predicted absolute magnitude and a signal-to-noise ratio (columns.snr)",
                    stars.len(),
                    options.parallax_over_error
                ))
                .expected(format!("at least {LEAST}"))
                .remedy("Give more stars, ask less of their parallaxes, or name the column of the ratio in the recipe."));
        }
        let mut parameters = vec![0.0, 0.0, 0.2f64.ln(), 0.1f64.ln()];
        let all = residuals.clone();
        for iteration in 0..options.iterations.max(1) {
            parameters = maximise(&Likelihood(&residuals), &parameters, "error model of absolute magnitudes")?;
            if iteration + 1 < options.iterations {
                let model = Self::of(&parameters);
                residuals = all.iter().filter_map(|star| star.below(options.cut, &model)).collect();
            }
        }
        let model = Self::of(&parameters);
        let start = [model.slope, model.shift, model.intrinsic, model.at_snr_100];
        let ln_density = |at: &[f64]| match at[2] >= 0.0 && at[3] >= 0.0 && at[0] > -1.0 {
            true => residuals.iter().map(|star| star.ln_likelihood(at).0).sum(),
            false => f64::NEG_INFINITY,
        };
        let chain = sample(ln_density, &start, &[0.01; 4], &options.sampler);
        let errors = std::array::from_fn(|parameter| chain.error(parameter));
        Ok(Calibration { model, errors, n_stars, n_kept: residuals.len(), chain })
    }

    /// Of ε, δ, ln σ_int and ln σ_s100.
    fn of(parameters: &[f64]) -> Self {
        let &[slope, shift, intrinsic, at_snr_100] = parameters else { return Self::default() };
        Self { slope, shift, intrinsic: intrinsic.exp(), at_snr_100: at_snr_100.exp() }
    }
}

/// What of a star enters the likelihood.
#[derive(Debug, Clone, Copy)]
struct Residual {
    predicted: f64,
    geometric: f64,
    /// Squares of the error of the geometric magnitude and of 100 over the signal-to-noise ratio.
    geometric_variance: f64,
    noise: f64,
    /// M_o − (1 + ε) M_geo − δ above which the star would have been cut.
    bound: f64,
}

impl Residual {
    fn of(star: &CalibrationStar, parallax_over_error: f64) -> Option<Self> {
        let geometric = geometric_absolute_magnitude(star.dereddened, star.parallax)?;
        let noise = (100.0 / star.snr).powi(2);
        let is_good = star.parallax.value >= parallax_over_error * star.parallax.error && star.snr > 0.0;
        let numbers = [star.absolute_magnitude, geometric.value, geometric.error, noise];
        (is_good && numbers.iter().all(|number| number.is_finite())).then_some(Self {
            predicted: star.absolute_magnitude,
            geometric: geometric.value,
            geometric_variance: geometric.error.powi(2),
            noise,
            bound: f64::INFINITY,
        })
    }

    /// The star, if it is below the cut under a model.
    fn below(&self, cut: f64, model: &ErrorModel) -> Option<Self> {
        let residual = self.predicted - (1.0 + model.slope) * self.geometric - model.shift;
        let bound = cut * self.variance(model.slope, model.intrinsic, model.at_snr_100).sqrt();
        (residual < bound).then_some(Self { bound, ..*self })
    }

    fn variance(&self, slope: f64, intrinsic: f64, at_snr_100: f64) -> f64 {
        intrinsic * intrinsic + at_snr_100 * at_snr_100 * self.noise + (1.0 + slope).powi(2) * self.geometric_variance
    }

    /// ln L of (ε, δ, σ_int, σ_s100) and its derivatives.
    fn ln_likelihood(&self, at: &[f64]) -> (f64, [f64; 4]) {
        let (slope, shift, intrinsic, at_snr_100) = (at[0], at[1], at[2], at[3]);
        let variance = self.variance(slope, intrinsic, at_snr_100);
        let residual = self.predicted - (1.0 + slope) * self.geometric - shift;
        let mut value = -0.5 * (residual * residual / variance + variance.ln());
        let mut of_variance = 0.5 * (residual * residual / variance - 1.0) / variance;
        if self.bound.is_finite() {
            // ln Φ(b/σ) less: what the cut has left
            let pull = self.bound / variance.sqrt();
            let left = normal_cdf(pull);
            let density = (-0.5 * pull * pull).exp() / (2.0 * std::f64::consts::PI).sqrt();
            value -= left.ln();
            of_variance += 0.5 * density / left * pull / variance;
        }
        let of_slope = residual * self.geometric / variance + of_variance * 2.0 * (1.0 + slope) * self.geometric_variance;
        let of_scatters = [of_variance * 2.0 * intrinsic, of_variance * 2.0 * at_snr_100 * self.noise];
        (value, [of_slope, residual / variance, of_scatters[0], of_scatters[1]])
    }
}

/// ln L per star of ε, δ, ln σ_int and ln σ_s100.
struct Likelihood<'a>(&'a [Residual]);

impl LogLikelihood for Likelihood<'_> {
    fn value_and_gradient(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let model = ErrorModel::of(parameters);
        let at = [model.slope, model.shift, model.intrinsic, model.at_snr_100];
        let (mut value, mut gradient) = (0.0, vec![0.0; 4]);
        for star in self.0 {
            let (own, slopes) = star.ln_likelihood(&at);
            value += own;
            gradient.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
        }
        gradient[2] *= model.intrinsic;
        gradient[3] *= model.at_snr_100;
        let n = self.0.len() as f64;
        (value / n, gradient.into_iter().map(|slope| slope / n).collect())
    }
}

#[cfg(test)]
#[path = "error_model_tests.rs"]
mod tests;
