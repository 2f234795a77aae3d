//! Fitting the mixture to the training labels by expectation–maximisation (linfa-clustering).

use super::GaussianMixture;
use super::deconvolution::{self, Limits, NoisyLabels};
use crate::error::{Error, Result};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{GaussianMixtureModel, GmmError};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How often a restart that does not converge is tried again with a ten times larger tolerance. (The library
/// returns no model without convergence.)
const N_RELAXATIONS: i32 = 3;

/// Most Gaussians and starts, and most draws for the threshold (3 GB).
const MOST_STARTS: usize = 10_000;
const MOST_DRAWS: usize = 100_000_000;

/// The tolerance of a deconvolution over that of a fit: where noise is as wide as the labels, the likelihood
/// rises in many small steps.
const PATIENCE: f64 = 0.01;

/// Settings of the fit. Several seeds are tried and the likeliest mixture is kept: from one start to the
/// next, the mean ln p of the local optima differs by some 0.01.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureFit {
    /// Number of Gaussians K.
    pub n_components: usize,
    /// Number of starts (k-means++ with its own seed each).
    pub n_restarts: usize,
    /// Converged where an iteration changes the mean ln p of the sample by less than this.
    pub tolerance: f64,
    /// Largest number of iterations of a start.
    pub max_iterations: u64,
    /// Added to the variances, in units of the parameter's spread squared; keeps components from collapsing
    /// onto one star.
    pub regularisation: f64,
    /// Stars further than this many spreads from the median in any parameter are left out. Densities are not
    /// computed in logarithms inside the library, so a lone far star would turn into NaN.
    pub outlier_limit: f64,
    /// At most so many stars are used, drawn at random.
    pub max_samples: usize,
    /// Whether the mixture is that of the labels without the noise of their measurements (extreme
    /// deconvolution, Bovy, Hogg & Roweis 2011), from the fit to the measured ones. Stars that lack some of
    /// the labels take part with the others.
    pub deconvolve: bool,
    /// Least width of a Gaussian of a deconvolved mixture in any direction, in units of the parameters'
    /// spreads: what is left of a width after its noise is as uncertain as noise and number of stars make it.
    pub least_width: f64,
    /// The flag threshold is this percentile of ln p over draws of the mixture, in per cent.
    pub threshold_percentile: f64,
    /// Number of those draws.
    pub threshold_samples: usize,
}

impl Default for MixtureFit {
    fn default() -> Self {
        Self {
            n_components: 16,
            n_restarts: 4,
            tolerance: 1e-4,
            max_iterations: 300,
            regularisation: 1e-6,
            outlier_limit: 10.0,
            max_samples: 50_000,
            deconvolve: false,
            least_width: 0.05,
            threshold_percentile: 0.1,
            threshold_samples: 100_000,
        }
    }
}

impl MixtureFit {
    /// Checks every setting.
    ///
    /// # Errors
    /// `Usage`, naming the setting and its range.
    pub fn validate(&self) -> Result<()> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let counted = |value: usize, most: usize| (1..=most).contains(&value);
        let percentile = self.threshold_percentile;
        let checks = [
            ("n_components", self.n_components as f64, counted(self.n_components, MOST_STARTS), "1 to 10000"),
            ("n_restarts", self.n_restarts as f64, counted(self.n_restarts, MOST_STARTS), "1 to 10000"),
            ("tolerance", self.tolerance, positive(self.tolerance), "a positive number"),
            ("max_iterations", self.max_iterations as f64, self.max_iterations > 0, "at least 1"),
            (
                "regularisation",
                self.regularisation,
                self.regularisation == 0.0 || positive(self.regularisation),
                "zero or a positive number",
            ),
            ("outlier_limit", self.outlier_limit, self.outlier_limit > 0.0, "a positive number"),
            ("max_samples", self.max_samples as f64, self.max_samples > 0, "at least 1"),
            ("least_width", self.least_width, self.least_width > 0.0 && self.least_width < 1.0, "a number between 0 and 1"),
            ("threshold_percentile", percentile, percentile > 0.0 && percentile < 100.0, "a number between 0 and 100"),
            ("threshold_samples", self.threshold_samples as f64, counted(self.threshold_samples, MOST_DRAWS), "1 to 100000000"),
        ];
        match checks.into_iter().find(|(_, _, valid, _)| !valid) {
            None => Ok(()),
            Some((name, value, _, expected)) => Err(Error::usage(format!("mixture prior, {name}"))
                .found(value.to_string())
                .expected(expected)
                .remedy("Leave the key out for its default; `photosphere recipe xp --all-keys` prints it.")),
        }
    }

    /// Fewest stars for a mixture in `n_parameters`.
    pub fn fewest_stars(&self, n_parameters: usize) -> usize {
        self.n_components * (n_parameters + 1)
    }

    /// Fits the mixture to `samples [N, n]` of the named `parameters [n]` and sets its flag threshold.
    ///
    /// The parameters are standardised by median and half the 16th–84th percentile range first. Rows with a
    /// number that is not finite are left out. The same `seed` gives the same mixture, whatever the number of
    /// threads.
    ///
    /// # Errors
    /// `Usage` for impossible settings; `Data` for too few stars or a parameter without spread; `Numerical`
    /// where no start leads to a mixture.
    pub fn fit(&self, samples: ArrayView2<'_, f64>, parameters: &[String], seed: u64) -> Result<GaussianMixture> {
        let (standardised, mixture) = self.best_of_starts(samples, parameters, seed)?;
        self.finish(&standardised, &mixture, seed)
    }

    /// Fits the mixture of what `labels` of the named `parameters [n]` are noisy measurements of: from the
    /// mixture that [`Self::fit`] finds for the stars that have all of them, by all stars. `deconvolve` is
    /// not asked.
    ///
    /// # Errors
    /// As [`Self::fit`]; `Data` for a noise that is no covariance.
    pub fn fit_noisy(&self, labels: NoisyLabels<'_>, parameters: &[String], seed: u64) -> Result<GaussianMixture> {
        let (standardised, mixture) = self.best_of_starts(labels.values, parameters, seed)?;
        let (values, covariances) = standardised.with_noise(labels, self, seed)?;
        let noisy = NoisyLabels { values: values.view(), covariances: covariances.view() };
        let limits =
            Limits { least_width: self.least_width, tolerance: PATIENCE * self.tolerance, max_iterations: self.max_iterations };
        self.finish(&standardised, &deconvolution::deconvolve(noisy, &mixture, limits)?, seed)
    }

    fn finish(&self, standardised: &Standardised, mixture: &GaussianMixture, seed: u64) -> Result<GaussianMixture> {
        let mut mixture = standardised.restore(mixture)?;
        mixture.set_ln_density_threshold(self.threshold_percentile, self.threshold_samples, seed);
        Ok(mixture)
    }

    /// The likeliest mixture of several starts, with what it was fitted to.
    fn best_of_starts(
        &self,
        samples: ArrayView2<'_, f64>,
        parameters: &[String],
        seed: u64,
    ) -> Result<(Standardised, GaussianMixture)> {
        self.validate()?;
        let standardised = Standardised::new(samples, parameters, self, seed)?;
        let fits: Vec<Result<GaussianMixture>> =
            (0..self.n_restarts).into_par_iter().map(|restart| self.fit_once(&standardised, parameters, seed, restart)).collect();
        let mut best: Option<(f64, GaussianMixture)> = None;
        let mut failure = None;
        for fit in fits {
            match fit {
                Ok(mixture) => {
                    let score = standardised.mean_ln_density(&mixture);
                    tracing::debug!(score, "a start of the mixture prior");
                    if score.is_finite() && best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                        best = Some((score, mixture));
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        let Some((_, mixture)) = best else {
            let failure = failure.unwrap_or_else(|| Error::numerical("mixture prior").found("a likelihood that is not finite"));
            return Err(failure.or_remedy(
                "Ask for fewer components ([prior] n_components in the recipe), give more stars, or look for impossible labels.",
            ));
        };
        Ok((standardised, mixture))
    }

    /// The mixture of the standardised parameters from one start.
    fn fit_once(&self, data: &Standardised, parameters: &[String], seed: u64, restart: usize) -> Result<GaussianMixture> {
        let dataset = DatasetBase::from(data.samples.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(restart as u64 + 1);
        let mut failure = None;
        for relaxation in 0..=N_RELAXATIONS {
            let fit = GaussianMixtureModel::params_with_rng(self.n_components, rng.clone())
                .tolerance(self.tolerance * 10_f64.powi(relaxation))
                .max_n_iterations(self.max_iterations)
                .reg_covariance(self.regularisation)
                .fit(&dataset);
            match fit {
                Ok(model) => {
                    let rows = |array: ArrayView2<'_, f64>| array.iter().copied().collect::<Vec<f64>>();
                    let means: Vec<Vec<f64>> = model.means().rows().into_iter().map(|row| row.to_vec()).collect();
                    let covariances: Vec<Vec<f64>> = model.covariances().outer_iter().map(rows).collect();
                    return GaussianMixture::new(parameters.to_vec(), &model.weights().to_vec(), &means, &covariances);
                }
                Err(error) => {
                    let again = matches!(error, GmmError::NotConverged(_));
                    failure = Some(error);
                    if !again {
                        break;
                    }
                }
            }
        }
        let found = failure.map_or_else(String::new, |error| error.to_string());
        Err(Error::numerical(format!("mixture prior of {} components", self.n_components))
            .found(found)
            .expected("a mixture from at least one start")
            .remedy("Use fewer components, more stars or a larger regularisation."))
    }
}

/// The samples a mixture is fitted to, in units of their spread.
struct Standardised {
    samples: Array2<f64>,
    centre: Vec<f64>,
    scale: Vec<f64>,
}

impl Standardised {
    fn new(samples: ArrayView2<'_, f64>, parameters: &[String], settings: &MixtureFit, seed: u64) -> Result<Self> {
        let n = parameters.len();
        if samples.ncols() != n {
            return Err(Error::data("samples of the mixture prior")
                .found(format!("{} columns", samples.ncols()))
                .expected(format!("{n}, one a parameter")));
        }
        let finite: Vec<usize> =
            (0..samples.nrows()).filter(|&row| samples.row(row).iter().all(|value| value.is_finite())).collect();
        let samples = samples.select(Axis(0), &finite);
        let (mut centre, mut scale) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (column, name) in samples.columns().into_iter().zip(parameters) {
            let mut sorted = column.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            let at = |percent: f64| percentile(&sorted, percent).unwrap_or(f64::NAN);
            let spread = 0.5 * (at(84.0) - at(16.0));
            // Most stars may have one and the same value.
            let spread = if spread > 0.0 { spread } else { column.std(0.0) };
            if spread <= 0.0 || spread.is_nan() {
                return Err(Error::data(format!("mixture prior, parameter '{name}'"))
                    .found(format!("a spread of {spread} over {} stars", sorted.len()))
                    .expected("a positive spread")
                    .remedy("Take it out of the labels of the effect, or give stars that differ in it."));
            }
            centre.push(at(50.0));
            scale.push(spread);
        }
        let mut samples = samples;
        for mut row in samples.rows_mut() {
            row.iter_mut().enumerate().for_each(|(i, value)| *value = (*value - centre[i]) / scale[i]);
        }
        let inside: Vec<usize> =
            (0..samples.nrows()).filter(|&row| samples.row(row).iter().all(|z| z.abs() <= settings.outlier_limit)).collect();
        let inside = at_most(settings.max_samples, inside, seed);
        let needed = settings.fewest_stars(n);
        if inside.len() < needed {
            return Err(Error::data("samples of the mixture prior")
                .found(format!("{} usable stars", inside.len()))
                .expected(format!("at least {needed} for {} components of {n} parameters", settings.n_components))
                .remedy("Use fewer components or more stars."));
        }
        Ok(Self { samples: samples.select(Axis(0), &inside), centre, scale })
    }

    /// Values `[N, n]` and covariances `[N, n, n]` of all stars that have some of the labels, none of them an
    /// outlier; `max_samples` of them.
    fn with_noise(&self, labels: NoisyLabels<'_>, settings: &MixtureFit, seed: u64) -> Result<(Array2<f64>, Array3<f64>)> {
        let (n_stars, n) = labels.values.dim();
        if labels.covariances.dim() != (n_stars, n, n) {
            return Err(Error::data("covariances of the labels")
                .found(format!("the shape {:?}", labels.covariances.dim()))
                .expected(format!("{:?}, as many as values", (n_stars, n, n))));
        }
        let value = |star: usize, i: usize| (labels.values[[star, i]] - self.centre[i]) / self.scale[i];
        let takes_part = |star: &usize| {
            let measured: Vec<f64> = (0..n).map(|i| value(*star, i)).filter(|z| z.is_finite()).collect();
            !measured.is_empty() && measured.iter().all(|z| z.abs() <= settings.outlier_limit)
        };
        let stars = at_most(settings.max_samples, (0..n_stars).filter(takes_part).collect(), seed);
        let values = Array2::from_shape_fn((stars.len(), n), |(row, i)| value(stars[row], i));
        let covariances = Array3::from_shape_fn((stars.len(), n, n), |(row, i, j)| {
            labels.covariances[[stars[row], i, j]] / (self.scale[i] * self.scale[j])
        });
        Ok((values, covariances))
    }

    fn mean_ln_density(&self, mixture: &GaussianMixture) -> f64 {
        self.samples.rows().into_iter().map(|row| mixture.ln_density(&row.to_vec())).sum::<f64>() / self.samples.nrows() as f64
    }

    /// The mixture in the original units.
    fn restore(&self, mixture: &GaussianMixture) -> Result<GaussianMixture> {
        let n = self.scale.len();
        let weights: Vec<f64> = mixture.components.iter().map(|component| component.weight).collect();
        let means: Vec<Vec<f64>> = mixture
            .components
            .iter()
            .map(|component| (0..n).map(|i| self.centre[i] + self.scale[i] * component.mean[i]).collect())
            .collect();
        let covariances: Vec<Vec<f64>> = mixture
            .components
            .iter()
            .map(|component| {
                (0..n * n).map(|index| self.scale[index / n] * self.scale[index % n] * component.covariance[index]).collect()
            })
            .collect();
        GaussianMixture::new(mixture.parameters.clone(), &weights, &means, &covariances)
    }
}

/// `most` of the stars, drawn at random; all of them where they are not more.
fn at_most(most: usize, stars: Vec<usize>, seed: u64) -> Vec<usize> {
    if stars.len() <= most {
        return stars;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rand::seq::index::sample(&mut rng, stars.len(), most).into_iter().map(|index| stars[index]).collect()
}

/// Percentile (in per cent) of ascending `sorted` values, linear between ranks; `None` of nothing.
pub(super) fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (percent / 100.0 * last as f64).clamp(0.0, last as f64);
    let below = rank.floor() as usize;
    let above = rank.ceil() as usize;
    Some(sorted[below] + (rank - below as f64) * (sorted[above] - sorted[below]))
}

#[cfg(test)]
#[path = "mixture_fit_tests.rs"]
mod tests;
