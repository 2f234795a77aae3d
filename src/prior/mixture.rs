//! Mixture of Gaussians over the labels, p(Θ) = Σ_k w_k N(Θ | μ_k, C_k), normalised with (2π)^(−n/2).
//!
//! Source: Zhang, Green & Rix 2023, eq. 18.

use super::mixture_sums::{self, MixtureSums};
use crate::error::{Error, Result};
use nalgebra::{Cholesky, DMatrix};
use ndarray::Array2;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::f64::consts::TAU;

/// Largest |Σ w − 1|, and largest asymmetry of a covariance relative to its diagonal.
const TOLERANCE: f64 = 1e-6;

/// ln of a share of the density that is lost in the rounding of the others.
const NEGLIGIBLE: f64 = -40.0;

const REMEDY: &str = "Correct it, or train or export the model again.";

/// Working memory of [`GaussianMixture::add_loss`], made by [`GaussianMixture::work`].
#[derive(Debug, Clone, Default)]
pub struct MixtureWork(MixtureSums);

/// One Gaussian of the mixture, with what its density needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    pub weight: f64,
    pub mean: Vec<f64>,
    /// Row-major `[n, n]`, like the next two.
    pub covariance: Vec<f64>,
    /// Lower Cholesky factor of the covariance.
    factor: Vec<f64>,
    pub precision: Vec<f64>,
    /// ln w − ½ n ln 2π − ½ ln det C.
    pub ln_amplitude: f64,
}

/// A normalised density of `n` named parameters, with derivatives, samples and the threshold below which a
/// star is flagged.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    pub(super) parameters: Vec<String>,
    pub(super) components: Vec<Component>,
    pub(super) ln_density_threshold: Option<f64>,
}

impl GaussianMixture {
    /// A mixture of `weights [K]`, `means [K][n]` and row-major `covariances [K][n·n]` over the named
    /// `parameters [n]`.
    ///
    /// # Errors
    /// `Model`, naming the component: lengths that differ, numbers that are not finite, weights that are not
    /// positive or do not sum to one, covariances that are not symmetric and positive-definite.
    pub fn new(parameters: Vec<String>, weights: &[f64], means: &[Vec<f64>], covariances: &[Vec<f64>]) -> Result<Self> {
        let n = parameters.len();
        if n == 0 || weights.is_empty() || means.len() != weights.len() || covariances.len() != weights.len() {
            return Err(Error::model("mixture prior")
                .found(format!(
                    "{n} parameters, {} weights, {} means, {} covariances",
                    weights.len(),
                    means.len(),
                    covariances.len()
                ))
                .expected("at least one parameter, and as many weights as means and covariances (at least one)")
                .remedy(REMEDY));
        }
        let sum: f64 = weights.iter().sum();
        if (sum - 1.0).abs() >= TOLERANCE || sum.is_nan() {
            return Err(Error::model("mixture prior, weights").found(format!("the sum {sum}")).expected("1").remedy(REMEDY));
        }
        if let Some(name) = parameters.iter().enumerate().find_map(|(i, name)| parameters[..i].contains(name).then_some(name)) {
            return Err(Error::model("mixture prior, parameters")
                .found(format!("'{name}' twice"))
                .expected("distinct names")
                .remedy(REMEDY));
        }
        let components = weights
            .iter()
            .zip(means.iter().zip(covariances))
            .enumerate()
            .map(|(k, (weight, (mean, covariance)))| {
                Component::new(*weight, mean.clone(), covariance.clone(), n)
                    .map_err(|error| error.within(format_args!("mixture prior, component {k}")).or_remedy(REMEDY))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { parameters, components, ln_density_threshold: None })
    }

    /// Names of the parameters, in the order of coordinates.
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// The density of some of the parameters, whatever the others: `None` where none is named.
    ///
    /// # Errors
    /// When one is not among the parameters.
    pub fn marginal(&self, names: &[String]) -> Result<Option<Self>> {
        let place = |name: &String| {
            self.parameters.iter().position(|own| own == name).ok_or_else(|| {
                Error::model(format!("mixture prior, parameter '{name}'"))
                    .found("none of that name")
                    .expected(self.parameters.join(", "))
                    .remedy(REMEDY)
            })
        };
        let places = names.iter().map(place).collect::<Result<Vec<usize>>>()?;
        if places.is_empty() {
            return Ok(None);
        }
        let n = self.parameters.len();
        let weights: Vec<f64> = self.components.iter().map(|component| component.weight).collect();
        let means: Vec<Vec<f64>> = self.components.iter().map(|c| places.iter().map(|&i| c.mean[i]).collect()).collect();
        let of_pairs =
            |covariance: &[f64]| places.iter().flat_map(|&i| places.iter().map(move |&j| covariance[i * n + j])).collect();
        let covariances: Vec<Vec<f64>> = self.components.iter().map(|component| of_pairs(&component.covariance)).collect();
        Self::new(names.to_vec(), &weights, &means, &covariances).map(Some)
    }

    /// Mean of the density `[n]`.
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.parameters.len()];
        self.components.iter().for_each(|component| add(&mut mean, component.weight, &component.mean));
        mean
    }

    /// Number of Gaussians K.
    pub fn n_components(&self) -> usize {
        self.components.len()
    }

    /// ln(w/√((2π)ⁿ det C)), mean `[n]` and precision C⁻¹ `[n, n]` (row-major) of every Gaussian.
    pub fn gaussians(&self) -> impl Iterator<Item = (f64, &[f64], &[f64])> {
        self.components.iter().map(|component| (component.ln_amplitude, &component.mean[..], &component.precision[..]))
    }

    /// ln p below which a star counts as unlike the training sample (quality flag, bit 4), once it has been
    /// set.
    pub fn ln_density_threshold(&self) -> Option<f64> {
        self.ln_density_threshold
    }

    /// Sets the flag threshold to the `percentile` (in per cent; 0.1 in the paper) of ln p over `n_samples`
    /// draws of the mixture.
    pub fn set_ln_density_threshold(&mut self, percentile: f64, n_samples: usize, seed: u64) {
        let samples = self.sample(n_samples, &mut ChaCha8Rng::seed_from_u64(seed));
        let mut values: Vec<f64> = samples.rows().into_iter().map(|row| self.ln_density(&row.to_vec())).collect();
        values.sort_unstable_by(f64::total_cmp);
        self.ln_density_threshold = super::mixture_fit::percentile(&values, percentile);
    }

    /// Working memory for [`Self::add_loss`].
    pub fn work(&self) -> MixtureWork {
        MixtureWork(MixtureSums::new(&self.components, self.parameters.len()))
    }

    /// ln p(x), `x [n]`.
    pub fn ln_density(&self, x: &[f64]) -> f64 {
        self.visit(x, |_, _, _| ())
    }

    /// ln p(x), and ∂ ln p/∂x into `gradient [n]`.
    pub fn ln_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        self.visit(x, |responsibility, pull, _| add(gradient, responsibility, pull))
    }

    /// ln p(x), and the exact ∂² ln p/∂x² into `hessian [n, n]` (row-major, not definite in general).
    pub fn ln_density_hessian(&self, x: &[f64], hessian: &mut [f64]) -> f64 {
        let n = x.len();
        let mut mean_pull = vec![0.0; n];
        hessian.fill(0.0);
        let ln_density = self.visit(x, |responsibility, pull, component| {
            add(&mut mean_pull, responsibility, pull);
            for (index, element) in hessian.iter_mut().enumerate() {
                *element += responsibility * (pull[index / n] * pull[index % n] - component.precision[index]);
            }
        });
        for (index, element) in hessian.iter_mut().enumerate() {
            *element -= mean_pull[index / n] * mean_pull[index % n];
        }
        ln_density
    }

    /// The loss −2 ln p(x), with its gradient added to `gradient [n]` and a positive-definite curvature to
    /// `curvature [n, n]`.
    ///
    /// The curvature 2 Σ_k r_k C_k⁻¹, weighted by the responsibilities r_k of the components, is the Hessian
    /// without the spread of the pulls of different components, whose sign is the wrong one.
    pub fn add_loss(&self, x: &[f64], gradient: &mut [f64], curvature: &mut [f64], work: &mut MixtureWork) -> f64 {
        mixture_sums::add_loss(&mut work.0, x, gradient, curvature)
    }

    /// `n_samples` draws `[n_samples, n]`.
    pub fn sample(&self, n_samples: usize, rng: &mut impl Rng) -> Array2<f64> {
        let n = self.parameters.len();
        let mut samples = Array2::zeros((n_samples, n));
        let mut normal = vec![0.0; n];
        for mut row in samples.rows_mut() {
            let component = self.draw_component(rng.gen_range(0.0..1.0));
            normal.fill_with(|| rng.sample(StandardNormal));
            for (i, x) in row.iter_mut().enumerate() {
                *x = component.mean[i] + (0..=i).map(|j| component.factor[i * n + j] * normal[j]).sum::<f64>();
            }
        }
        samples
    }

    /// The component in whose share of the cumulative weight `uniform` lies.
    fn draw_component(&self, mut uniform: f64) -> &Component {
        for component in &self.components[1..] {
            if uniform < component.weight {
                return component;
            }
            uniform -= component.weight;
        }
        &self.components[0]
    }

    /// ln p(x); calls `each` with every component's responsibility, its pull −C⁻¹(x − μ) = ∂ ln N/∂x, and
    /// itself. Components whose responsibility is below the rounding of the sum are left out.
    fn visit(&self, x: &[f64], mut each: impl FnMut(f64, &[f64], &Component)) -> f64 {
        let n = self.parameters.len();
        debug_assert_eq!(x.len(), n);
        let mut pulls = vec![0.0; n * self.components.len()];
        let mut terms: Vec<f64> = self
            .components
            .iter()
            .zip(pulls.chunks_exact_mut(n))
            .map(|(component, pull)| component.ln_density(x, pull))
            .collect();
        let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for term in &mut terms {
            // A NaN stays one.
            *term = if *term - largest < NEGLIGIBLE { 0.0 } else { (*term - largest).exp() };
            sum += *term;
        }
        for ((component, pull), &term) in self.components.iter().zip(pulls.chunks_exact(n)).zip(&terms) {
            if term != 0.0 {
                each(term / sum, pull, component);
            }
        }
        largest + sum.ln()
    }
}

fn add(sum: &mut [f64], factor: f64, summand: &[f64]) {
    sum.iter_mut().zip(summand).for_each(|(sum, summand)| *sum += factor * summand);
}

impl Component {
    /// ln of the density at `x [n]` times the weight, and its gradient into `pull [n]`.
    fn ln_density(&self, x: &[f64], pull: &mut [f64]) -> f64 {
        let n = x.len();
        let mut ln_density = self.ln_amplitude;
        for i in 0..n {
            pull[i] = (0..n).map(|j| self.precision[i * n + j] * (self.mean[j] - x[j])).sum();
            ln_density -= 0.5 * pull[i] * (self.mean[i] - x[i]);
        }
        ln_density
    }

    fn new(weight: f64, mean: Vec<f64>, covariance: Vec<f64>, n: usize) -> Result<Self> {
        let finite = |numbers: &[f64]| numbers.iter().all(|number| number.is_finite());
        if weight <= 0.0 || weight.is_nan() {
            return Err(Error::model("weight").found(weight.to_string()).expected("a positive number"));
        }
        if mean.len() != n || !finite(&mean) {
            return Err(Error::model("mean").found(format!("{mean:?}")).expected(format!("{n} finite numbers")));
        }
        if covariance.len() != n * n || !finite(&covariance) {
            return Err(Error::model("covariance").found(format!("{covariance:?}")).expected(format!("{n}×{n} finite numbers")));
        }
        for i in 0..n {
            for j in 0..i {
                let (lower, upper) = (covariance[i * n + j], covariance[j * n + i]);
                let scale = (covariance[i * n + i] * covariance[j * n + j]).abs().sqrt();
                if (lower - upper).abs() > TOLERANCE * scale {
                    return Err(Error::model(format!("covariance, elements ({i}, {j}) and ({j}, {i})"))
                        .found(format!("{lower} and {upper}"))
                        .expected("a symmetric matrix"));
                }
            }
        }
        let Some(cholesky) = Cholesky::new(DMatrix::from_row_slice(n, n, &covariance)) else {
            return Err(Error::model("covariance").found(format!("{covariance:?}")).expected("a positive-definite matrix"));
        };
        let factor = cholesky.l();
        let ln_root_determinant: f64 = factor.diagonal().iter().map(|element| element.ln()).sum();
        let inverse = cholesky.inverse();
        let by_rows = |matrix: &DMatrix<f64>| matrix.transpose().as_slice().to_vec();
        Ok(Self {
            ln_amplitude: weight.ln() - 0.5 * n as f64 * TAU.ln() - ln_root_determinant,
            weight,
            mean,
            covariance,
            factor: by_rows(&factor),
            precision: by_rows(&inverse),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing::central_difference;

    /// Dwarfs, giants and hot stars in (T_eff/kK, [Fe/H], log g).
    pub fn example() -> GaussianMixture {
        let parameters = ["teff", "feh", "logg"].map(String::from).to_vec();
        let means = [vec![5.5, -0.2, 4.3], vec![4.7, -0.3, 2.4], vec![8.0, 0.0, 4.0]];
        let covariances = [
            vec![0.5, 0.05, -0.06, 0.05, 0.06, 0.0, -0.06, 0.0, 0.04],
            vec![0.06, -0.02, 0.10, -0.02, 0.08, 0.0, 0.10, 0.0, 0.3],
            vec![1.0, 0.0, -0.1, 0.0, 0.05, 0.0, -0.1, 0.0, 0.06],
        ];
        GaussianMixture::new(parameters, &[0.6, 0.3, 0.1], &means, &covariances).unwrap()
    }

    /// Against the integral of the density over log g.
    #[test]
    fn the_marginal_is_the_integral_over_the_other_parameters() {
        let names = ["feh", "teff"].map(String::from);
        let marginal = example().marginal(&names).unwrap().unwrap();
        let integral: f64 = (0..8000).map(|k| example().ln_density(&[5.1, -0.4, -2.0 + 1e-3 * f64::from(k)]).exp() * 1e-3).sum();
        assert!((marginal.ln_density(&[-0.4, 5.1]) - integral.ln()).abs() < 1e-6);
        assert!(example().marginal(&[]).unwrap().is_none());
        assert!(example().marginal(&["xi".into()]).unwrap_err().to_string().contains("'xi'"));
    }

    /// SciPy 1.17.1: log(Σ w_k multivariate_normal(μ_k, C_k).pdf(x)).
    #[test]
    fn density_agrees_with_scipy() {
        let expected = [
            ([5.7, -0.1, 4.4], -0.050500956726637077),
            ([4.9, -1.0, 2.0], -4.087639838437866),
            ([12.0, 1.0, 0.0], -149.66366841905412),
        ];
        for (x, expected) in expected {
            let found = example().ln_density(&x);
            assert!((found - expected).abs() < 1e-11 * expected.abs().max(1.0), "{found} {expected}");
        }
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        let mixture = example();
        for x in [[5.7, -0.1, 4.4], [4.9, -1.0, 2.0], [5.0, -0.3, 3.4], [7.0, 0.1, 4.1]] {
            let mut gradient = [0.0; 3];
            mixture.ln_density_gradient(&x, &mut gradient);
            let expected = central_difference(|x| mixture.ln_density(x), &x);
            for (found, expected) in gradient.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-8 * expected.abs().max(1.0), "{found} {expected}");
            }
            let mut hessian = [0.0; 9];
            mixture.ln_density_hessian(&x, &mut hessian);
            for i in 0..3 {
                let slope = |x: &[f64]| {
                    let mut gradient = [0.0; 3];
                    mixture.ln_density_gradient(x, &mut gradient);
                    gradient[i]
                };
                for (found, expected) in hessian[3 * i..].iter().zip(central_difference(slope, &x)) {
                    assert!((found - expected).abs() < 1e-7 * expected.abs().max(1.0), "{found} {expected}");
                }
            }
            let (mut doubled, mut curvature) = ([1.0; 3], vec![0.0; 9]);
            let loss = mixture.add_loss(&x, &mut doubled, &mut curvature, &mut mixture.work());
            assert!((loss + 2.0 * mixture.ln_density(&x)).abs() < 1e-12 * loss.abs().max(1.0));
            assert!(doubled.iter().zip(gradient).all(|(found, gradient)| (found - 1.0 + 2.0 * gradient).abs() < 1e-12));
            assert!(Cholesky::new(DMatrix::from_row_slice(3, 3, &curvature)).is_some());
        }
    }

    #[test]
    fn samples_have_the_moments_and_the_threshold_the_rank_of_the_mixture() {
        let mut mixture = example();
        let samples = mixture.sample(200_000, &mut ChaCha8Rng::seed_from_u64(5));
        // Mean 0.6·5.5 + 0.3·4.7 + 0.1·8; variance Σ w (C + μ²) − mean²; each within four Monte-Carlo errors.
        let teff = samples.column(0);
        assert!((teff.mean().unwrap() - 5.51).abs() < 4.0 * 1.14 / 200_000_f64.sqrt());
        assert!((teff.var(0.0) / 1.2349 - 1.0).abs() < 0.02, "{}", teff.var(0.0));
        mixture.set_ln_density_threshold(0.1, 100_000, 3);
        let threshold = mixture.ln_density_threshold().unwrap();
        let n_below = samples.rows().into_iter().filter(|row| mixture.ln_density(&row.to_vec()) < threshold).count();
        // 200 expected; the threshold's own error is that of a count of 100.
        assert!((120..290).contains(&n_below), "{n_below}");
    }

    #[test]
    fn impossible_mixtures_are_refused_with_the_place() {
        let build = |weight: f64, mean: f64, covariance: Vec<f64>| {
            let names = vec!["teff".into(), "logg".into()];
            GaussianMixture::new(names, &[weight], &[vec![5.0, mean]], &[covariance]).map_err(|error| error.to_string())
        };
        let good = vec![1.0, 0.2, 0.2, 1.0];
        assert!(build(1.0, 4.0, good.clone()).is_ok());
        assert!(build(0.9, 4.0, good.clone()).unwrap_err().contains("sum 0.9"));
        assert!(build(1.0, f64::NAN, good.clone()).unwrap_err().contains("component 0, mean"));
        assert!(build(1.0, 4.0, vec![1.0, 0.2, 0.3, 1.0]).unwrap_err().contains("elements (1, 0) and (0, 1)"));
        assert!(build(1.0, 4.0, vec![1.0, 2.0, 2.0, 1.0]).unwrap_err().contains("positive-definite"));
        assert!(build(1.0, 4.0, vec![1.0; 3]).unwrap_err().contains("2×2"));
    }
}
