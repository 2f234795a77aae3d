//! Fitting the mixture to the training labels by expectation–maximisation (linfa-clustering).

use super::GaussianMixture;
use crate::error::{Error, Result};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{GaussianMixtureModel, GmmError};
use ndarray::{Array2, ArrayView2, Axis};
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
        let mut mixture = standardised.restore(&mixture)?;
        mixture.set_ln_density_threshold(self.threshold_percentile, self.threshold_samples, seed);
        Ok(mixture)
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
            if spread <= 0.0 || spread.is_nan() {
                return Err(Error::data(format!("mixture prior, parameter '{name}'"))
                    .found(format!("a spread of {spread} over {} stars", sorted.len()))
                    .expected("a positive spread")
                    .remedy("Fix this parameter in the recipe, or give it another prior."));
            }
            centre.push(at(50.0));
            scale.push(spread);
        }
        let mut samples = samples;
        for mut row in samples.rows_mut() {
            row.iter_mut().enumerate().for_each(|(i, value)| *value = (*value - centre[i]) / scale[i]);
        }
        let mut inside: Vec<usize> =
            (0..samples.nrows()).filter(|&row| samples.row(row).iter().all(|z| z.abs() <= settings.outlier_limit)).collect();
        if inside.len() > settings.max_samples {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let chosen = rand::seq::index::sample(&mut rng, inside.len(), settings.max_samples);
            inside = chosen.into_iter().map(|index| inside[index]).collect();
        }
        let needed = settings.fewest_stars(n);
        if inside.len() < needed {
            return Err(Error::data("samples of the mixture prior")
                .found(format!("{} usable stars", inside.len()))
                .expected(format!("at least {needed} for {} components of {n} parameters", settings.n_components))
                .remedy("Use fewer components or more stars."));
        }
        Ok(Self { samples: samples.select(Axis(0), &inside), centre, scale })
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

/// Percentile (in per cent) of ascending `sorted` values, linear between ranks; `None` of nothing.
pub(super) fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (percent / 100.0 * last as f64).clamp(0.0, last as f64);
    let below = rank.floor() as usize;
    let above = rank.ceil() as usize;
    Some(sorted[below] + (rank - below as f64) * (sorted[above] - sorted[below]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// 3000 points of two correlated Gaussians from an additive recurrence, so that Python makes the same
    /// ones: g = 1.2207440846057596; u = (0.5 + arange(1, 3001)[:, None] / g**[1, 2, 3]) % 1; component =
    /// u0 > 0.6; z = sqrt(−2 ln u1)·(cos, sin)(2π u2); x, y = (1 + 0.5 z0, 0.3 z1 + 0.2 z0) or (4 + z0, −1 +
    /// 0.8 z1).
    fn two_clouds() -> Array2<f64> {
        let g = 1.2207440846057596_f64;
        let mut samples = Array2::zeros((3000, 2));
        for (i, mut row) in samples.rows_mut().into_iter().enumerate() {
            let u = |power: i32| (0.5 + (i + 1) as f64 / g.powi(power)) % 1.0;
            let (radius, angle) = ((-2.0 * u(2).ln()).sqrt(), TAU * u(3));
            let z = [radius * angle.cos(), radius * angle.sin()];
            let point = if u(1) > 0.6 { [4.0 + z[0], -1.0 + 0.8 * z[1]] } else { [1.0 + 0.5 * z[0], 0.3 * z[1] + 0.2 * z[0]] };
            row.iter_mut().zip(point).for_each(|(slot, value)| *slot = value);
        }
        samples
    }

    fn names() -> Vec<String> {
        vec!["x".into(), "y".into()]
    }

    /// scikit-learn 1.9.1: GaussianMixture(2, tol=1e-6, max_iter=1000, n_init=5, random_state=0).fit(X):
    /// score, weights_, means_.
    #[test]
    fn fit_reaches_the_likelihood_of_scikit_learn() {
        let samples = two_clouds();
        let settings = MixtureFit { n_components: 2, threshold_samples: 1000, tolerance: 1e-6, ..Default::default() };
        let mixture = settings.fit(samples.view(), &names(), 1).unwrap();
        let score = samples.rows().into_iter().map(|row| mixture.ln_density(&row.to_vec())).sum::<f64>() / 3000.0;
        assert!((score + 2.259313230017796).abs() < 1e-4, "{score}");
        let dense = if mixture.components[0].weight > 0.5 { &mixture.components[0] } else { &mixture.components[1] };
        assert!((dense.weight - 0.59902559).abs() < 2e-3, "{}", dense.weight);
        assert!((dense.mean[0] - 1.00118857).abs() < 5e-3 && (dense.mean[1] - 0.00290601).abs() < 5e-3);
        assert!(mixture.ln_density_threshold().unwrap() < score);
    }

    #[test]
    fn same_seed_same_mixture_and_outliers_do_no_harm() {
        let mut samples = two_clouds();
        let settings =
            MixtureFit { n_components: 4, n_restarts: 2, threshold_samples: 500, max_samples: 2000, ..Default::default() };
        let first = settings.fit(samples.view(), &names(), 7).unwrap();
        assert_eq!(settings.fit(samples.view(), &names(), 7).unwrap(), first);
        samples[[0, 0]] = 1e9;
        samples[[1, 1]] = f64::NAN;
        assert!(settings.fit(samples.view(), &names(), 7).is_ok());
    }

    #[test]
    fn hopeless_samples_are_refused() {
        let message = |samples: &Array2<f64>| MixtureFit::default().fit(samples.view(), &names(), 1).unwrap_err().to_string();
        assert!(message(&Array2::zeros((100, 2))).contains("parameter 'x': found a spread of 0"));
        assert!(message(&two_clouds().slice_move(ndarray::s![..20, ..])).contains("at least 48"));
        assert!(message(&Array2::zeros((100, 3))).contains("3 columns"));
        assert!(MixtureFit { n_components: 0, ..Default::default() }.validate().is_err());
    }

    #[test]
    fn percentiles_interpolate_between_ranks() {
        // numpy.percentile([1, 2, 4, 8], [0, 50, 90, 100])
        let found: Vec<_> =
            [0.0, 50.0, 90.0, 100.0].iter().map(|percent| percentile(&[1.0, 2.0, 4.0, 8.0], *percent).unwrap()).collect();
        for (found, expected) in found.iter().zip([1.0, 3.0, 6.8, 8.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert_eq!(percentile(&[], 50.0), None);
    }
}
