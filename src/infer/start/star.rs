//! One star as the search for starting points sees it: ln of pooled fluxes, and what measurements say of the
//! parameters.

use super::Linear;
use crate::model::ParameterSpace;
use crate::observations::Observations;

/// Pools with a smaller signal-to-noise ratio are left out: their logarithm says nothing.
const MINIMUM_SIGNAL: f64 = 2.0;
/// A parallax over its error from which its logarithm has a Gaussian error.
const GAUSSIAN_LOGARITHM: f64 = 3.0;

/// The measurements of one star.
#[derive(Default)]
pub(super) struct Star {
    /// The pools that say something.
    pub pools: Vec<Pool>,
    /// Value (relative to the reference of the linear parameter) and inverse error, for each linear parameter
    /// but the parallax.
    pub linear_priors: Vec<Option<(f64, f64)>>,
    pub parallax: Option<Parallax>,
    /// Measured labels: position among the labels, coordinate, inverse error.
    pub labels: Vec<(usize, f64, f64)>,
}

/// The mean of neighbouring fluxes.
pub(super) struct Pool {
    /// Its number in the grid.
    pub index: usize,
    pub ln_flux: f64,
    /// Error of `ln_flux`.
    pub error: f64,
}

impl Pool {
    /// 1/σ² with another error added in quadrature.
    pub fn weight(&self, added_error: f64) -> f64 {
        1.0 / (self.error * self.error + added_error * added_error)
    }
}

/// A measured parallax, model units.
#[derive(Clone, Copy)]
pub(super) struct Parallax {
    /// Position of the parallax among the linear parameters, and the logarithm that is its reference.
    pub linear: usize,
    reference: f64,
    pub value: f64,
    pub inverse_error: f64,
}

impl Parallax {
    /// ln ϖ relative to the reference and its inverse error; `None` where the parallax says little about its
    /// logarithm.
    pub fn logarithm(&self) -> Option<(f64, f64)> {
        let signal = self.value * self.inverse_error;
        (signal > GAUSSIAN_LOGARITHM).then(|| (self.value.ln() - self.reference, signal))
    }
}

impl Star {
    /// Takes the measurements of star `star`; constraints in the named parameters count. `labels` are
    /// positions in the `space`.
    pub fn observe(
        &mut self,
        data: &Observations,
        star: usize,
        pools: &[Vec<usize>],
        space: &ParameterSpace,
        (linear, labels): (&[Linear], &[usize]),
        constraints: &[String],
    ) {
        let measured = |position: usize| {
            let parameter = &space.parameters[position];
            let (value, error) = match constraints.contains(&parameter.name) {
                true => data.constraint(&parameter.name, star)?,
                false => return None,
            };
            Some((value * parameter.model_units_per_file_unit, error * parameter.model_units_per_file_unit))
        };
        self.pools.clear();
        for (index, pool) in pools.iter().enumerate() {
            let (mut flux, mut variance) = (0.0, 0.0);
            for &i in pool {
                let error = f64::from(data.flux_error[[star, i]]);
                flux += f64::from(data.flux[[star, i]]);
                variance += error * error;
            }
            let error = variance.sqrt();
            // A pool with holes would compare different means; its variance is infinite.
            if flux > MINIMUM_SIGNAL * error {
                self.pools.push(Pool { index, ln_flux: (flux / pool.len() as f64).ln(), error: error / flux });
            }
        }
        self.parallax = None;
        self.linear_priors.clear();
        for (l, linear) in linear.iter().enumerate() {
            let measured = measured(linear.position);
            let parameter = &space.parameters[linear.position];
            let prior = match (linear.logarithmic, measured, parameter.prior) {
                (true, Some((value, error)), _) => {
                    let reference = linear.reference;
                    self.parallax = Some(Parallax { linear: l, reference, value, inverse_error: 1.0 / error });
                    None
                }
                (true, None, _) => None,
                (false, Some((value, error)), _) => Some((value - linear.reference, 1.0 / error)),
                (false, None, prior) => prior.map(|prior| (prior.mean - linear.reference, 1.0 / prior.standard_deviation)),
            };
            self.linear_priors.push(prior);
        }
        self.labels.clear();
        self.labels.extend(labels.iter().enumerate().filter_map(|(k, &position)| {
            let parameter = &space.parameters[position];
            let (value, error) = measured(position)?;
            let coordinate = parameter.coordinate(value);
            coordinate.is_finite().then(|| (k, coordinate, parameter.model_value_slope(coordinate) / error))
        }));
    }
}
