//! The terms of −2 ln P besides the flux on the device: constraints, Gaussian priors, the mixture prior and
//! the Jacobians of positive parameters, for all parameters of all stars at once. The curvature is the
//! positive semi-definite one of the host.

use crate::model::Transform;
use crate::optimise::on_device::TensorNormal;
use crate::posterior::host::HostTerms;
use crate::tensor::{Device, Indices, Tensor};

/// A constant of the model with one number a parameter is `[1, P]`.
pub(super) struct PriorTerms {
    centre: Tensor<2>,
    scale: Tensor<2>,
    /// 1 for parameters moved as logarithms, 0 for others.
    logarithmic: Tensor<2>,
    /// 1 for parameters whose Jacobian enters.
    positive: Tensor<2>,
    /// The model's own Gaussian priors: means and inverse errors.
    prior: [Tensor<2>; 2],
    /// Measured values and inverse errors, `[n, P]`, zero without a measurement.
    measured: [Tensor<2>; 2],
    mixture: Option<Mixture>,
    /// `[1, P, P]`.
    identity: Tensor<3>,
}

/// The mixture of Gaussians over all P parameters; those that it does not cover have zero precision.
#[derive(Clone)]
struct Mixture {
    /// `[1, K, P]`.
    means: Tensor<3>,
    /// `[1, K, P, P]`.
    precisions: Tensor<4>,
    /// ln w − ½ k ln 2π − ½ ln det C, `[1, K]`.
    ln_amplitudes: Tensor<2>,
}

impl PriorTerms {
    /// Uploads the terms of the named stars.
    pub fn upload(host: &HostTerms<'_>, stars: &[usize], device: &Device) -> Self {
        let (parameters, p) = (&host.parameters, host.parameters.len());
        let constant = |of: &dyn Fn(usize) -> f64| device.tensor(&(0..p).map(of).collect::<Vec<_>>(), [1, p]);
        let logarithmic = |i: usize| f64::from(u8::from(parameters[i].parameter.transform == Transform::Logarithm));
        let own =
            |i: usize| parameters[i].parameter.prior.map_or((0.0, 0.0), |prior| (prior.mean, 1.0 / prior.standard_deviation));
        let (mut values, mut inverse_errors) = (Vec::new(), Vec::new());
        for (star, position) in stars.iter().flat_map(|&star| (0..p).map(move |position| (star, position))) {
            // A value without a finite error may be anything, and must not spoil its product with zero.
            let measured = parameters[position]
                .measured(star)
                .filter(|(value, error)| value.is_finite() && (0.0..f64::INFINITY).contains(error));
            let (value, error) = measured.unwrap_or((0.0, f64::INFINITY));
            values.push(value);
            inverse_errors.push(1.0 / error);
        }
        let identity: Vec<f64> = (0..p * p).map(|index| f64::from(u8::from(index / p == index % p))).collect();
        Self {
            centre: constant(&|i| parameters[i].parameter.centre),
            scale: constant(&|i| parameters[i].parameter.scale),
            logarithmic: constant(&logarithmic),
            positive: constant(&|i| f64::from(u8::from(parameters[i].jacobian))),
            prior: [constant(&|i| own(i).0), constant(&|i| own(i).1)],
            measured: [device.tensor(&values, [stars.len(), p]), device.tensor(&inverse_errors, [stars.len(), p])],
            mixture: host.mixture.as_ref().map(|(mixture, positions)| Mixture::new(mixture, positions, p, device)),
            identity: device.tensor(&identity, [1, p, p]),
        }
    }

    /// Loss, gradient and curvature at `coordinates [n, P]` of all parameters.
    pub fn normal_equations(&self, coordinates: &Tensor<2>) -> TensorNormal {
        let [n, p] = coordinates.dims();
        let transformed = coordinates.clone() * self.scale.clone() + self.centre.clone();
        let is_linear = self.logarithmic.clone().neg() + 1.0;
        // x = t or exp t, and dx/dt = 1 or x.
        let exponential = (transformed.clone() * self.logarithmic.clone()).exp() * self.logarithmic.clone();
        let value = exponential.clone() + transformed.clone() * is_linear.clone();
        let slope = (exponential + is_linear) * self.scale.clone();

        // −2 ln x of positive parameters, with the curvature that stands for that of what balances it.
        let mut loss = transformed * self.positive.clone() * -2.0;
        let mut gradient = self.positive.clone() * self.scale.clone() * -2.0;
        let mut diagonal = self.positive.clone() * self.scale.clone().powi_scalar(2) * 2.0;
        for [mean, inverse_error] in [&self.prior, &self.measured] {
            let residual = (value.clone() - mean.clone()) * inverse_error.clone();
            let residual_slope = slope.clone() * inverse_error.clone();
            loss = loss + residual.clone() * residual.clone();
            gradient = gradient + residual * residual_slope.clone() * 2.0;
            diagonal = diagonal + residual_slope.clone() * residual_slope * 2.0;
        }
        let curvature = self.identity.clone() * diagonal.reshape([n, p, 1]);
        let normal = TensorNormal { loss: loss.sum_dim(1).reshape([n]), gradient, curvature };
        match &self.mixture {
            None => normal,
            Some(mixture) => mixture.add_to(normal, &value, &slope),
        }
    }

    /// The given stars.
    pub fn select(&self, stars: &Indices) -> Self {
        Self {
            centre: self.centre.clone(),
            scale: self.scale.clone(),
            logarithmic: self.logarithmic.clone(),
            positive: self.positive.clone(),
            prior: self.prior.clone(),
            measured: self.measured.clone().map(|tensor| tensor.select(0, stars.clone())),
            mixture: self.mixture.clone(),
            identity: self.identity.clone(),
        }
    }
}

impl Mixture {
    fn new(mixture: &crate::prior::GaussianMixture, positions: &[usize], p: usize, device: &Device) -> Self {
        let (k, width) = (mixture.n_components(), positions.len());
        let (mut means, mut precisions, mut ln_amplitudes) = (vec![0.0; k * p], vec![0.0; k * p * p], Vec::with_capacity(k));
        for (index, (ln_amplitude, mean, precision)) in mixture.gaussians().enumerate() {
            ln_amplitudes.push(ln_amplitude);
            for (i, &row) in positions.iter().enumerate() {
                means[index * p + row] = mean[i];
                for (j, &column) in positions.iter().enumerate() {
                    precisions[(index * p + row) * p + column] = precision[i * width + j];
                }
            }
        }
        Self {
            means: device.tensor(&means, [1, k, p]),
            precisions: device.tensor(&precisions, [1, k, p, p]),
            ln_amplitudes: device.tensor(&ln_amplitudes, [1, k]),
        }
    }

    /// Adds −2 ln p(x) and its derivatives at model values `value [n, P]` with dx/du = `slope [n, P]`.
    fn add_to(&self, normal: TensorNormal, value: &Tensor<2>, slope: &Tensor<2>) -> TensorNormal {
        let ([n, p], k) = (value.dims(), self.means.dims()[1]);
        let distance = self.means.clone() - value.clone().reshape([n, 1, p]);
        // −C⁻¹(x − μ), [n, K, P].
        let pulls: Tensor<3> = (self.precisions.clone() * distance.clone().reshape([n, k, 1, p])).sum_dim(3).reshape([n, k, p]);
        let exponents = self.ln_amplitudes.clone() - (pulls.clone() * distance).sum_dim(2).reshape([n, k]) * 0.5;
        let largest = exponents.clone().max_dim(1);
        let terms = (exponents - largest.clone()).exp();
        let sum = terms.clone().sum_dim(1);
        let responsibilities = (terms / sum.clone()).reshape([n, k, 1]);
        let gradient = (pulls * responsibilities.clone()).sum_dim(1).reshape([n, p]) * slope.clone();
        let precision: Tensor<3> =
            (self.precisions.clone() * responsibilities.reshape([n, k, 1, 1])).sum_dim(1).reshape([n, p, p]);
        let slopes = slope.clone().reshape([n, p, 1]) * slope.clone().reshape([n, 1, p]);
        TensorNormal {
            loss: normal.loss - (largest + sum.log()).reshape([n]) * 2.0,
            gradient: normal.gradient - gradient * 2.0,
            curvature: normal.curvature + precision * slopes * 2.0,
        }
    }
}
