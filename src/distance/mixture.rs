//! Single stars and equal-mass binaries as two Gaussians of the absolute magnitude (Li et al. 2025, eqs.
//! 7–9): a star's probability to be a binary, and the mixture of a population.
//!
//! ```text
//! P(M) = α N(M; μ₁, s₁) + (1 − α) N(M; μ₂, s₂)      μ₁ = M_predicted + shift, μ₂ = μ₁ − offset, s² = σ_M² + scatter²
//! P_binary = (1 − α) ∫ N(M; μ₂, s₂) N(ϖ; 10^((M − m + 10)/5), σ_ϖ) dM / the same of both
//! ```
//!
//! The factor 10^((M − m + 10)/5) that the print of eq. 8 has is a prior of the magnitude that the mixture
//! has already; it is left out.

use super::evidence::{Evidence, evidence};
use super::magnitude::LN_DISTANCE_PER_MAGNITUDE;
use super::maximise::{LogLikelihood, maximise};
use super::measurements::OfPair;
use super::observables::Observables;
use super::options::{BinaryMixture, DistanceOptions};
use super::posterior::Workspace;
use super::star::Star;
use crate::error::{Error, Result};
use crate::statistics::Measured;
use rayon::prelude::*;

/// Scatters that are as good as none, mag: no distance is known better.
const LEAST_SCATTER: f64 = 1e-3;
/// Magnitudes by which no pair differs from a single star, and no stars of one spectrum from each other.
pub(super) const LARGEST: f64 = 10.0;

/// The mixture of one star, as a network predicts it (`mixture_of_magnitudes` of direct networks). Its
/// scatters are all that is not known of M.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StarMixture {
    /// Fraction of single stars among stars of such a spectrum.
    pub single_fraction: f64,
    /// μ₁ − μ₂, mag.
    pub offset: f64,
    /// σ₁, σ₂, mag.
    pub scatters: [f64; 2],
}

impl StarMixture {
    /// What makes it a mixture: a fraction, a pair that is brighter, and scatters of a thousandth of a
    /// magnitude at least (the grid of distances has no room for less).
    pub fn is_possible(&self) -> bool {
        (0.0..=1.0).contains(&self.single_fraction)
            && self.offset > 0.0
            && self.offset <= LARGEST
            && self.scatters.iter().all(|scatter| (LEAST_SCATTER..=LARGEST).contains(scatter))
    }

    /// What the magnitude of a star is whose mixture is impossible: missing where numbers are missing, beyond
    /// use otherwise.
    pub(super) fn unusable(&self) -> Measured {
        let numbers = [self.single_fraction, self.offset, self.scatters[0], self.scatters[1]];
        let value = if numbers.iter().any(|number| number.is_nan()) { f64::NAN } else { f64::INFINITY };
        Measured { value, error: value }
    }
}

/// The two moduli that a star may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moduli {
    /// ln d of a single star, with the scatter of such stars.
    pub single: Measured,
    pub pair: OfPair,
}

impl Moduli {
    /// By the mixture of a population; `ln_distance` of the predicted magnitude.
    pub fn of_population(ln_distance: Measured, mixture: &BinaryMixture) -> Self {
        let component = |offset: f64, scatter: f64| Measured {
            value: ln_distance.value + LN_DISTANCE_PER_MAGNITUDE * (offset - mixture.shift),
            error: ln_distance.error.hypot(LN_DISTANCE_PER_MAGNITUDE * scatter),
        };
        Self {
            single: component(0.0, mixture.single_scatter),
            pair: OfPair {
                ln_distance: component(mixture.offset, mixture.binary_scatter),
                fraction: 1.0 - mixture.single_fraction,
            },
        }
    }

    /// By the star's own mixture; the error of `ln_distance` has σ₁ in it.
    pub fn of_star(ln_distance: Measured, mixture: &StarMixture) -> Self {
        let [single, pair] = mixture.scatters.map(|scatter| (LN_DISTANCE_PER_MAGNITUDE * scatter).powi(2));
        let variance = (ln_distance.error.powi(2) - single).max(0.0) + pair;
        let value = ln_distance.value + LN_DISTANCE_PER_MAGNITUDE * mixture.offset;
        let pair = Measured { value, error: variance.sqrt() };
        Self { single: ln_distance, pair: OfPair { ln_distance: pair, fraction: 1.0 - mixture.single_fraction } }
    }
}

/// P_binary of a star with this parallax (mas).
pub fn binary_probability(parallax: Measured, moduli: &Moduli, workspace: &mut Workspace) -> f64 {
    let Moduli { single, pair } = moduli;
    let [of_single, of_pair] = [*single, pair.ln_distance].map(|ln_distance| evidence(parallax, ln_distance, workspace).ln);
    let single = of_single + (-pair.fraction).ln_1p();
    let binary = of_pair + pair.fraction.ln();
    match single.max(binary) {
        greatest if greatest.is_finite() => {
            let [single, binary] = [single, binary].map(|term| (term - greatest).exp());
            binary / (single + binary)
        }
        // Neither can have made this parallax: nothing is learned from it.
        _ => pair.fraction,
    }
}

/// Evidence for a single star and for a binary.
fn terms(star: &MixtureStar, mixture: &BinaryMixture, workspace: &mut Workspace) -> [Evidence; 2] {
    let Moduli { single, pair } = Moduli::of_population(star.ln_distance, mixture);
    [single, pair.ln_distance].map(|ln_distance| evidence(star.parallax, ln_distance, workspace))
}

/// A star of a population: parallax in mas, and ln d for its predicted magnitude.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixtureStar {
    pub parallax: Measured,
    pub ln_distance: Measured,
}

impl MixtureStar {
    /// What the mixture takes of a star; `None` where it has no parallax, or its spectrum tells no distance.
    pub fn of(star: &Star, options: &DistanceOptions) -> Option<Self> {
        let Observables { parallax, spectroscopic, .. } = Observables::of(star, options);
        Some(Self { parallax: parallax?, ln_distance: spectroscopic? })
    }
}

/// A mixture that was fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FittedMixture {
    pub mixture: BinaryMixture,
    /// 1σ errors of fraction, shift, offset and the two scatters (the observed curvature; NaN where there is
    /// none).
    pub errors: [f64; 5],
    pub n_stars: usize,
}

/// Stars summed together: chunks of fixed size, so that sums do not depend on the number of threads.
const CHUNK: usize = 256;

impl BinaryMixture {
    /// The mixture of greatest likelihood, from this one.
    ///
    /// # Errors
    /// `Data` when there are fewer than 100 stars; `Numerical` when there is no maximum.
    pub fn fitted(&self, stars: &[MixtureStar]) -> Result<FittedMixture> {
        const LEAST: usize = 100;
        if stars.len() < LEAST {
            return Err(Error::data("stars for the mixture of single stars and binaries")
                .found(format!("{} with parallaxes and predicted magnitudes", stars.len()))
                .expected(format!("at least {LEAST}"))
                .remedy("Give more stars, or ask less of their parallaxes."));
        }
        let likelihood = Population(stars);
        let parameters = maximise(&likelihood, &self.parameters(), "mixture of single stars and binaries")?;
        let mixture = Self::of(&parameters);
        Ok(FittedMixture { mixture, errors: likelihood.errors(&parameters), n_stars: stars.len() })
    }

    /// Logit of the fraction, shift, and logarithms of offset and scatters.
    fn parameters(&self) -> [f64; 5] {
        let fraction = self.single_fraction.clamp(1e-4, 1.0 - 1e-4);
        let logarithm = |value: f64| value.max(LEAST_SCATTER).ln();
        [
            (fraction / (1.0 - fraction)).ln(),
            self.shift,
            logarithm(self.offset),
            logarithm(self.single_scatter.max(0.05)),
            logarithm(self.binary_scatter.max(0.05)),
        ]
    }

    fn of(parameters: &[f64]) -> Self {
        let scatter = |logarithm: f64| logarithm.exp().max(LEAST_SCATTER);
        Self {
            single_fraction: 1.0 / (1.0 + (-parameters[0]).exp()),
            shift: parameters[1],
            offset: parameters[2].exp(),
            single_scatter: scatter(parameters[3]),
            binary_scatter: scatter(parameters[4]),
        }
    }
}

struct Population<'a>(&'a [MixtureStar]);

impl Population<'_> {
    /// Errors of what the parameters stand for, from central differences of the gradient.
    fn errors(&self, parameters: &[f64]) -> [f64; 5] {
        const STEP: f64 = 1e-3;
        let n = self.0.len() as f64;
        let at = |parameter: usize, step: f64| {
            let mut moved = parameters.to_vec();
            moved[parameter] += step;
            self.value_and_gradient(&moved).1
        };
        let rows: Vec<Vec<f64>> = (0..5)
            .map(|parameter| {
                let (up, down) = (at(parameter, STEP), at(parameter, -STEP));
                up.iter().zip(down).map(|(up, down)| -n * (up - down) / (2.0 * STEP)).collect()
            })
            .collect();
        let curvature = nalgebra::SMatrix::<f64, 5, 5>::from_fn(|i, j| 0.5 * (rows[i][j] + rows[j][i]));
        let covariance = curvature.cholesky().map(|factor| factor.inverse());
        let mixture = BinaryMixture::of(parameters);
        let fraction = mixture.single_fraction;
        let scales = [fraction * (1.0 - fraction), 1.0, mixture.offset, mixture.single_scatter, mixture.binary_scatter];
        std::array::from_fn(|i| covariance.map_or(f64::NAN, |covariance| scales[i] * covariance[(i, i)].sqrt()))
    }
}

impl LogLikelihood for Population<'_> {
    fn value_and_gradient(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let mixture = BinaryMixture::of(parameters);
        let sums: Vec<[f64; 6]> = self.0.par_chunks(CHUNK).map(|stars| sum_of(stars, &mixture)).collect();
        let mut total = [0.0; 6];
        for sum in sums {
            total.iter_mut().zip(sum).for_each(|(total, part)| *total += part);
        }
        let n = self.0.len() as f64;
        (total[5] / n, total[..5].iter().map(|sum| sum / n).collect())
    }
}

/// Gradient and value of ln L over stars.
fn sum_of(stars: &[MixtureStar], mixture: &BinaryMixture) -> [f64; 6] {
    let mut workspace = Workspace::default();
    let mut total = [0.0; 6];
    let fraction = mixture.single_fraction;
    let scatters = [mixture.single_scatter, mixture.binary_scatter];
    for star in stars {
        let found = terms(star, mixture, &mut workspace);
        let logarithms = [found[0].ln + fraction.ln(), found[1].ln + (-fraction).ln_1p()];
        let greatest = logarithms[0].max(logarithms[1]);
        if !greatest.is_finite() {
            continue;
        }
        let weights = logarithms.map(|logarithm| (logarithm - greatest).exp());
        let sum = weights[0] + weights[1];
        let mut slopes = [0.0; 5];
        for (component, evidence) in found.iter().enumerate() {
            let weight = weights[component] / sum;
            let per_magnitude = LN_DISTANCE_PER_MAGNITUDE;
            let offset = if component == 1 { mixture.offset } else { 0.0 };
            let centre = star.ln_distance.value + per_magnitude * (offset - mixture.shift);
            let of_scatter = (per_magnitude * scatters[component]).powi(2);
            let variance = star.ln_distance.error.powi(2) + of_scatter;
            let of_centre = (evidence.mean - centre) / variance;
            let square = evidence.variance + (evidence.mean - centre).powi(2);
            let of_variance = 0.5 * (square / variance - 1.0) / variance;
            slopes[0] += if component == 0 { weight * (1.0 - fraction) } else { -weight * fraction };
            slopes[1] -= weight * of_centre * per_magnitude;
            slopes[2] += weight * of_centre * per_magnitude * offset;
            slopes[3 + component] += weight * of_variance * 2.0 * of_scatter;
        }
        total.iter_mut().zip(slopes).for_each(|(total, slope)| *total += slope);
        total[5] += greatest + sum.ln();
    }
    total
}

#[cfg(test)]
#[path = "mixture_tests.rs"]
mod tests;
