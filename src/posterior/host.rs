//! The terms of −2 ln P that need no tensor: constraints, Gaussian priors, the mixture prior and the Jacobians of positive
//! parameters. In f64, star by star.

use crate::error::Result;
use crate::model::{ParameterSpace, Transform};
use crate::observations::Observations;
use crate::prior::{Coordinate, GaussianConstraint, GaussianMixture, Term, positivity};
use ndarray::Array2;

/// Which terms besides the flux enter −2 ln P.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// Parameters whose measured values enter as ((x − x̂)/σ)².
    pub constraints: &'a [String],
    /// The mixture prior of the labels.
    pub mixture: Option<&'a GaussianMixture>,
    /// Whether −2 ln x is added for every parameter moved as a logarithm: the Jacobian of a flat prior on x > 0. Without it the
    /// prior is flat in ln x.
    pub jacobians: bool,
}

pub(super) struct HostTerms<'a> {
    pub space: &'a ParameterSpace,
    observations: &'a Observations,
    /// Whether the constraint of a parameter enters.
    constrained: Vec<bool>,
    /// The mixture with the positions of its parameters.
    pub mixture: Option<(&'a GaussianMixture, Vec<usize>)>,
    pub jacobians: bool,
}

impl<'a> HostTerms<'a> {
    pub fn new(space: &'a ParameterSpace, observations: &'a Observations, terms: &Terms<'a>) -> Result<Self> {
        let mut constrained = vec![false; space.len()];
        for name in terms.constraints {
            constrained[space.position(name)?] = true;
        }
        let mixture = match terms.mixture {
            None => None,
            Some(mixture) => {
                let positions = mixture.parameters().iter().map(|name| space.position(name)).collect::<Result<Vec<usize>>>()?;
                Some((mixture, positions))
            }
        };
        Ok(Self { space, observations, constrained, mixture, jacobians: terms.jacobians })
    }

    /// Measured value and error (model units) of a parameter of a star whose constraint enters.
    pub fn measured(&self, star: usize, position: usize) -> Option<(f64, f64)> {
        let parameter = &self.space.parameters[position];
        let factor = parameter.model_units_per_file_unit;
        let measured = if self.constrained[position] { self.observations.constraint(&parameter.name, star) } else { None };
        measured.map(|(value, error)| (value * factor, error * factor))
    }

    /// Errors (model units) and constraints of the measurement and the model's own prior of a parameter of a star.
    fn gaussians(&self, star: usize, position: usize) -> impl Iterator<Item = (f64, GaussianConstraint)> {
        let prior = self.space.parameters[position].prior.map(|prior| (prior.mean, prior.standard_deviation));
        // Measurements with impossible errors were taken out and flagged when the observations were read.
        let gaussians = self.measured(star, position).into_iter().chain(prior);
        gaussians.filter_map(|(value, error)| Some((error, GaussianConstraint::new(value, error).ok()?)))
    }

    /// The terms of one parameter at coordinate `u`; their curvature is exact or positive semi-definite.
    fn term(&self, star: usize, position: usize, u: f64, exact: bool) -> Term {
        let parameter = &self.space.parameters[position];
        let logarithmic = parameter.transform == Transform::Logarithm;
        let coordinate = Coordinate { value: parameter.model_value(u), derivative: parameter.model_value_slope(u) };
        let mut sum = Term::default();
        for (_, gaussian) in self.gaussians(star, position) {
            let term = gaussian.term(coordinate);
            let bend = if exact && logarithmic { term.gradient * parameter.scale } else { 0.0 };
            sum.loss += term.loss;
            sum.gradient += term.gradient;
            sum.curvature += term.curvature + bend;
        }
        if self.jacobians && logarithmic {
            let term = positivity(parameter.centre + parameter.scale * u);
            sum.loss += term.loss;
            sum.gradient += term.gradient * parameter.scale;
            sum.curvature += if exact { 0.0 } else { term.curvature * parameter.scale.powi(2) };
        }
        sum
    }

    /// Sum of the terms for a star at all its coordinates.
    pub fn loss(&self, star: usize, coordinates: &[f64]) -> f64 {
        let loss: f64 = coordinates.iter().enumerate().map(|(position, &u)| self.term(star, position, u, false).loss).sum();
        let mixture = self.mixture.as_ref();
        loss - mixture.map_or(0.0, |(mixture, positions)| 2.0 * mixture.ln_density(&self.label_values(positions, coordinates)))
    }

    /// Loss, gradient `[P]` and curvature `[P, P]`: positive semi-definite, or the exact Hessian when `exact`.
    pub fn derivatives(&self, star: usize, coordinates: &[f64], exact: bool) -> (f64, Vec<f64>, Array2<f64>) {
        let p = coordinates.len();
        let (mut loss, mut gradient, mut curvature) = (0.0, vec![0.0; p], Array2::zeros((p, p)));
        for (position, &u) in coordinates.iter().enumerate() {
            let term = self.term(star, position, u, exact);
            loss += term.loss;
            gradient[position] += term.gradient;
            curvature[[position, position]] += term.curvature;
        }
        if let Some((mixture, positions)) = &self.mixture {
            let k = positions.len();
            let labels = self.label_values(positions, coordinates);
            let (mut label_gradient, mut matrix) = (vec![0.0; k], vec![0.0; k * k]);
            loss += mixture.add_loss(&labels, &mut label_gradient, &mut matrix);
            if exact {
                mixture.ln_density_hessian(&labels, &mut matrix);
                matrix.iter_mut().for_each(|element| *element *= -2.0);
            }
            let slope = |i: usize| self.space.parameters[positions[i]].model_value_slope(coordinates[positions[i]]);
            for i in 0..k {
                gradient[positions[i]] += label_gradient[i] * slope(i);
                for j in 0..k {
                    curvature[[positions[i], positions[j]]] += matrix[i * k + j] * slope(i) * slope(j);
                }
            }
        }
        (loss, gradient, curvature)
    }

    /// Σ 1/σ² of the measurements and Gaussian priors of a parameter (model units).
    pub fn information(&self, star: usize, position: usize) -> f64 {
        self.gaussians(star, position).map(|(error, _)| error.powi(-2)).sum()
    }

    fn label_values(&self, positions: &[usize], coordinates: &[f64]) -> Vec<f64> {
        positions.iter().map(|&position| self.space.parameters[position].model_value(coordinates[position])).collect()
    }
}
