//! Importance sampling of the posteriors of stars around their optima.
//!
//! The priors are those of the fit: flat in amounts of dust (E ≥ 0) and in the distance parameter themselves,
//! whatever the transforms and whether or not the optimum is that of their logarithms (`jacobians`, which
//! choose another point of the same posterior). Coordinates that are logarithms have their Jacobian added
//! here. Labels and shapes are outer coordinates; amounts and the distance parameter, in whose logarithm or
//! value ln flux is linear, are inner ones (see [`crate::sampling`]).

use super::modes::Modes;
use super::problem::Problem;
use super::sampled::{PosteriorOptions, QUANTILES, REGIONS, StarPosterior};
use crate::error::Result;
use crate::model::{Parameter, Transform};
use crate::observations::hash64;
use crate::posterior::{Posterior, Slices};
use crate::sampling::{Layout, Mode, Sample, Settings, Target, moments, quantiles, sample, unbiased};
use crate::statistics::median;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Makes the seeds differ from those of starting points.
const SALT: u64 = 0x706f_7374;

/// How many quantities are derived, and the value of one of them from all model values.
pub(super) type Derive<'a> = (usize, &'a dyn Fn(usize, &[f64]) -> f64);

/// Samples the stars of one posterior.
pub(super) struct Sampler<'a> {
    problem: &'a Problem<'a>,
    posterior: &'a Posterior<'a>,
    layout: Layout,
    /// Positions of the inner coordinates in the model.
    inner: Vec<usize>,
    /// Of the inner coordinates, d ln x/du of those that are logarithms, 0 of the others.
    logarithmic_scales: Vec<f64>,
    options: PosteriorOptions,
    seed: u64,
}

impl<'a> Sampler<'a> {
    /// For a posterior without the Jacobians of the options; `amounts` are positions in the model.
    pub fn new(problem: &'a Problem<'a>, posterior: &'a Posterior<'a>, options: PosteriorOptions, seed: u64) -> Self {
        let free = posterior.free();
        let parameter = |column: usize| &problem.model.space.parameters[free[column]];
        let (mut inner, outer): (Vec<usize>, Vec<usize>) =
            (0..free.len()).partition(|&column| parameter(column).is_amount() || parameter(column).is_distance());
        // Those with a bound that matters first.
        inner.sort_by_key(|&column| !parameter(column).is_amount());
        let positions = inner.iter().map(|&column| free[column]).collect();
        let scale = |&column: &usize| match parameter(column).transform {
            Transform::Logarithm => parameter(column).scale,
            Transform::Identity => 0.0,
        };
        let logarithmic_scales = inner.iter().map(scale).collect();
        let layout = Layout { outer, inner, bounds: problem.bounds(free) };
        Self { problem, posterior, layout, inner: positions, logarithmic_scales, options, seed }
    }

    /// Working memory for one star after the other.
    ///
    /// # Errors
    /// When the posterior does not have the coordinates.
    pub fn slices(&self) -> Result<Slices<'_>> {
        Slices::new(self.posterior, &self.inner)
    }

    /// The posterior of a star around its modes; `shared` is the covariance `[F, F]` (file units) of an error
    /// that is not in the posterior, that of the model's zero points, by which all draws are shifted at
    /// random.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn star(
        &self,
        slices: &mut Slices<'_>,
        star: usize,
        modes: &Modes,
        shared: &[f64],
        derive: Derive<'_>,
    ) -> Result<StarPosterior> {
        let seed = hash64(self.problem.ids()[star], self.seed ^ SALT);
        let settings = Settings { draws: self.options.draws, least_effective: self.options.least_effective };
        let gaussians: Vec<Mode> = modes.gaussians();
        let mut target = OfStar { sampler: self, slices, star };
        let found = sample(&mut target, &self.layout, &gaussians, &settings, seed)?;
        Ok(self.describe(&found, modes, shared, derive, seed))
    }

    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.posterior.free().iter().map(|&position| &self.problem.model.space.parameters[position])
    }

    /// Σ ln|dx/du| over the logarithmic coordinates of a point, up to a constant.
    fn ln_jacobian(&self, point: impl Iterator<Item = f64>) -> f64 {
        let parameters = self.parameters().zip(point).filter(|(parameter, _)| parameter.transform == Transform::Logarithm);
        parameters.map(|(parameter, u)| parameter.centre + parameter.scale * u).sum()
    }

    fn describe(&self, found: &Sample, modes: &Modes, shared: &[f64], derive: Derive<'_>, seed: u64) -> StarPosterior {
        let free = self.posterior.free();
        let weights = &found.weights;
        let probabilities = unbiased(QUANTILES, found.effective_size);
        let mut values = self.problem.values(free, found.points.view());
        let rows = found.loss.iter().zip(found.points.rows());
        let losses = rows.map(|(loss, point)| loss + 2.0 * self.ln_jacobian(point.iter().copied()));
        self.shift(&mut values, shared, seed);
        let of_draws = moments(values.view(), weights);
        let mut all = values
            .columns()
            .into_iter()
            .map(|column| quantiles(column.iter().copied(), weights, probabilities))
            .collect::<Vec<_>>();
        all.extend(self.derived_quantiles(&values, (weights, probabilities), derive));
        let regions = quantiles(losses, weights, unbiased(REGIONS, found.effective_size)).map(|loss| loss - modes.loss());
        StarPosterior {
            mean: of_draws.mean,
            covariance: of_draws.covariance,
            quantiles: all,
            regions,
            effective_size: found.effective_size,
            tail_shape: found.tail_shape,
            second_share: found.shares.get(1).copied().unwrap_or(f64::NAN),
        }
    }

    fn derived_quantiles(
        &self,
        values: &Array2<f64>,
        (weights, probabilities): (&[f64], [f64; 5]),
        (n, derive): Derive<'_>,
    ) -> Vec<[f64; 5]> {
        let space = &self.problem.model.space;
        let mut of_model = self.problem.fixed_values();
        let mut of = |index: usize| {
            let each = values.rows().into_iter().map(|row| {
                for (&position, value) in self.posterior.free().iter().zip(row) {
                    of_model[position] = value * space.parameters[position].model_units_per_file_unit;
                }
                derive(index, &of_model)
            });
            quantiles(each, weights, probabilities)
        };
        (0..n).map(&mut of).collect()
    }

    /// Adds an error of covariance `shared [F, F]` to draws `[n, F]` (file units): what is positive stays so.
    fn shift(&self, values: &mut Array2<f64>, shared: &[f64], seed: u64) {
        let f = values.ncols();
        let Some(factor) = semidefinite_factor(shared, f) else { return };
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 1);
        let lower = &self.layout.bounds.lower;
        let parameters: Vec<&Parameter> = self.parameters().collect();
        let median = |(p, parameter): (usize, &&Parameter)| match parameter.transform {
            Transform::Logarithm => median(&values.column(p).to_vec()),
            Transform::Identity => f64::NAN,
        };
        let medians: Vec<f64> = parameters.iter().enumerate().map(median).collect();
        let mut normal = vec![0.0; f];
        for mut row in values.rows_mut() {
            normal.iter_mut().for_each(|x| *x = random.sample(StandardNormal));
            for p in 0..f {
                let shift: f64 = (0..=p).map(|k| factor[p * f + k] * normal[k]).sum();
                let parameter = parameters[p];
                row[p] = match parameter.transform {
                    Transform::Logarithm => row[p] * (shift / medians[p]).exp(),
                    Transform::Identity => {
                        let least = if parameter.is_amount() { parameter.model_value(lower[p]) } else { f64::NEG_INFINITY };
                        (row[p] + shift).max(least / parameter.model_units_per_file_unit)
                    }
                };
            }
        }
    }
}

/// Lower factor of a positive semi-definite matrix `[n, n]`; `None` where it is zero or not finite.
fn semidefinite_factor(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    if !matrix.iter().all(|element| element.is_finite()) || matrix.iter().all(|element| *element == 0.0) {
        return None;
    }
    let mut factor = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let sum = matrix[i * n + j] - (0..j).map(|k| factor[i * n + k] * factor[j * n + k]).sum::<f64>();
            let pivot = factor[j * n + j];
            factor[i * n + j] = match i == j {
                // Rounding of a direction without variance.
                true => {
                    if sum > 1e-12 * matrix[i * n + i] {
                        sum.sqrt()
                    } else {
                        0.0
                    }
                }
                false => {
                    if pivot > 0.0 {
                        sum / pivot
                    } else {
                        0.0
                    }
                }
            };
        }
    }
    Some(factor)
}

/// The posterior density of one star in the coordinates.
struct OfStar<'a, 'b> {
    sampler: &'a Sampler<'a>,
    slices: &'a mut Slices<'b>,
    star: usize,
}

impl Target for OfStar<'_, '_> {
    fn at_once(&self) -> usize {
        self.slices.at_once()
    }

    fn along_inner(&mut self, points: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> Result<()> {
        self.slices.slopes(self.star, points, gradient, curvature)?;
        // The slope of −2 Σ ln|dx/du|.
        let m = self.sampler.logarithmic_scales.len().max(1);
        for gradient in gradient.chunks_exact_mut(m) {
            gradient.iter_mut().zip(&self.sampler.logarithmic_scales).for_each(|(g, scale)| *g -= 2.0 * scale);
        }
        Ok(())
    }

    fn loss(&mut self, points: &[f64], loss: &mut [f64]) -> Result<()> {
        self.slices.loss(self.star, points, loss)?;
        for (loss, point) in loss.iter_mut().zip(points.chunks_exact(self.sampler.posterior.free().len().max(1))) {
            *loss -= 2.0 * self.sampler.ln_jacobian(point.iter().copied());
        }
        Ok(())
    }
}
