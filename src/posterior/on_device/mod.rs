//! The posterior on a device: data are uploaded once a batch, and −2 ln P with its derivatives is evaluated
//! where they lie.

mod flux;
mod prior;

use super::Posterior;
use crate::error::{Error, Result};
use crate::optimise::on_device::{TensorNormal, TensorProblem};
use crate::optimise::{Barrier, Bounds, LevenbergMarquardt, Problems, Solution, join};
use crate::tensor::{Device, Indices, Precision, Tensor};
use flux::FluxTerm;
use ndarray::{Array2, Axis};
use prior::PriorTerms;

/// Tensors `[n, 1 + P, W]` that a step holds at once: residual and Jacobian, whitened and not, layers and
/// products on the way.
const FLUX_TENSORS: usize = 8;

/// Minimises −2 ln P of `stars` on the model's device, from `start [stars.len(), P]` (free coordinates),
/// `batch` stars at a time. Data and starts go up once a batch, optima come down once.
///
/// Optima agree with those of [`minimise_in_chunks`](crate::optimise::minimise_in_chunks) on the host within
/// the tolerances of `method`.
///
/// # Errors
/// `Usage` for an empty batch, impossible settings, bounds or shapes; what the engine returns.
pub fn minimise_on_device(
    posterior: &Posterior<'_>,
    stars: &[usize],
    start: Array2<f64>,
    bounds: Option<&Bounds>,
    method: &LevenbergMarquardt,
    batch: usize,
) -> Result<Solution> {
    if batch == 0 {
        return Err(Error::usage("stars of a batch").found("0").expected("at least 1"));
    }
    let expected = (stars.len(), posterior.free.len());
    if start.dim() != expected {
        return Err(Error::usage("start of the minimisation")
            .found(format!("shape {:?}", start.dim()))
            .expected(format!("{expected:?}")));
    }
    let mut pieces = Vec::new();
    for (members, start) in stars.chunks(batch).zip(start.axis_chunks_iter(Axis(0), batch)) {
        pieces.push(method.minimise_on_device(&Resident::upload(posterior, members), start.to_owned(), bounds)?);
    }
    join(pieces, expected.1)
}

/// Bytes of device memory that the minimisation of one star takes, to choose a batch: data, their copy while
/// ended stars are taken out, and the tensors of a step. Counted, not measured.
pub fn bytes_per_star(posterior: &Posterior<'_>) -> usize {
    let (w, p, block) = (posterior.observations.grid.len(), posterior.model.space.len(), posterior.observations.whitening.block);
    // Factors of products lie there in two parts on an accelerator.
    let data = 2 * w + 2 * block * block + 2 * p;
    let packed = block * (block + 1) / 2;
    let step = FLUX_TENSORS * (1 + p) * w;
    let mixture = posterior.host.mixture.as_ref().map_or(0, |(mixture, _)| 3 * mixture.n_components() * p * p);
    let points = 8 * p * (p + 2);
    let bytes = match posterior.model.device().precision() {
        Precision::Single => 4,
        Precision::Double => 8,
    };
    bytes * (2 * data + packed + step + mixture + points)
}

/// A batch of stars whose data lie on the device.
struct Resident<'a> {
    posterior: &'a Posterior<'a>,
    /// Coordinates of all parameters, of which those not free are read, `[n, P]`.
    fixed: Tensor<2>,
    flux: FluxTerm,
    prior: PriorTerms,
    /// Positions of the free parameters.
    free: Indices,
}

impl<'a> Resident<'a> {
    fn upload(posterior: &'a Posterior<'a>, stars: &[usize]) -> Self {
        let device = posterior.model.device();
        let fixed: Vec<f64> = posterior.fixed.select(Axis(0), stars).iter().copied().collect();
        Self {
            posterior,
            fixed: device.tensor(&fixed, [stars.len(), posterior.model.space.len()]),
            flux: FluxTerm::upload(posterior.observations, stars, device),
            prior: PriorTerms::upload(&posterior.host, stars, device),
            free: device.indices(&posterior.free),
        }
    }

    /// All coordinates `[n, P]` from the free ones.
    fn all_coordinates(&self, free: Tensor<2>) -> Tensor<2> {
        let ([n, p], positions) = (self.fixed.dims(), &self.posterior.free);
        if positions.len() == p {
            return free;
        }
        let columns = (0..p).map(|position| match positions.iter().position(|free| *free == position) {
            Some(column) => free.clone().slice([0..n, column..column + 1]),
            None => self.fixed.clone().slice([0..n, position..position + 1]),
        });
        Tensor::cat(columns.collect(), 1)
    }
}

impl TensorProblem for Resident<'_> {
    fn device(&self) -> &Device {
        self.posterior.model.device()
    }

    fn n_problems(&self) -> usize {
        self.fixed.dims()[0]
    }

    fn n_parameters(&self) -> usize {
        self.posterior.free.len()
    }

    fn barriers(&self) -> Vec<Barrier> {
        self.posterior.barriers()
    }

    fn normal_equations(&self, coordinates: Tensor<2>) -> Result<TensorNormal> {
        let all = self.all_coordinates(coordinates);
        let flux = self.flux.normal_equations(self.posterior.model, all.clone(), &self.posterior.free)?;
        let prior = self.prior.normal_equations(&all);
        let columns = |tensor: Tensor<2>| tensor.select(1, self.free.clone());
        Ok(TensorNormal {
            loss: flux.loss + prior.loss,
            gradient: flux.gradient + columns(prior.gradient),
            curvature: flux.curvature + prior.curvature.select(1, self.free.clone()).select(2, self.free.clone()),
        })
    }

    fn select(&self, problems: &Indices) -> Self {
        Self {
            posterior: self.posterior,
            fixed: self.fixed.clone().select(0, problems.clone()),
            flux: self.flux.select(problems),
            prior: self.prior.select(problems),
            free: self.free.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
