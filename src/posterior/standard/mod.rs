//! The processor's engine for the standard family: tanh networks of any width and depth, ln R with or without ξ, distance, and a
//! packed triangular whitening with a diagonal tail. Star by star in single precision, vectorised over neurons and streams,
//! without allocation per star; its numbers for a star depend on that star alone.
//!
//! | file | concept |
//! |---|---|
//! | `family` | which models belong to it |
//! | `lanes`, `functions` | eight floats; exp and tanh |
//! | `network` | y(z), slopes, Hessian |
//! | `whitened` | L times eight vectors, inner products |
//! | `star` | χ² of one star and its derivatives |

mod family;
mod functions;
mod lanes;
mod network;
mod star;
#[cfg(test)]
mod tests;
mod whitened;

use super::flux::FluxNormal;
use crate::error::{Error, Result};
use crate::model::ForwardModel;
use crate::observations::Observations;
use crate::optimise::Normal;
use crate::tensor::Order;
use family::StandardFamily;
use lanes::{Lanes, Portable};
use ndarray::{Array2, Array3, ArrayView2};
use star::{Data, Products, Workspace, evaluate};

/// The engine for one model.
#[derive(Debug, Clone)]
pub(super) struct StandardEngine {
    family: StandardFamily,
    /// Whether the processor has AVX2 and FMA.
    vectorised: bool,
}

impl StandardEngine {
    /// The engine for `model` if it belongs to the family.
    ///
    /// # Errors
    /// When the model lacks a weight that its effects name.
    pub fn of(model: &ForwardModel) -> Result<Option<Self>> {
        Ok(StandardFamily::of(model)?.map(|family| Self { family, vectorised: has_avx2() }))
    }

    /// The flux term of the named stars at all their `coordinates [n, P]`, with derivatives for the `free` parameters.
    pub fn flux_normal(
        &self,
        observations: &Observations,
        stars: &[usize],
        coordinates: ArrayView2<'_, f64>,
        free: &[usize],
        order: Order,
    ) -> Result<FluxNormal> {
        #[cfg(target_arch = "x86_64")]
        if self.vectorised {
            // SAFETY: AVX2 and FMA were detected when the engine was made.
            return unsafe { batch_avx2(&self.family, observations, stars, coordinates, free, order) };
        }
        batch::<Portable>(&self.family, observations, stars, coordinates, free, order)
    }
}

fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let found = false;
    found
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn batch_avx2(
    family: &StandardFamily,
    observations: &Observations,
    stars: &[usize],
    coordinates: ArrayView2<'_, f64>,
    free: &[usize],
    order: Order,
) -> Result<FluxNormal> {
    batch::<lanes::Avx2>(family, observations, stars, coordinates, free, order)
}

#[inline(always)]
fn batch<V: Lanes>(
    family: &StandardFamily,
    observations: &Observations,
    stars: &[usize],
    coordinates: ArrayView2<'_, f64>,
    free: &[usize],
    order: Order,
) -> Result<FluxNormal> {
    let (n, p, w) = (stars.len(), free.len(), family.n_wavelengths);
    let bends = if order == Order::Second { n * p * p } else { 0 };
    let (mut loss, mut gradient) = (vec![0.0; n], vec![0.0; n * p]);
    let (mut curvature, mut residual_curvature) = (vec![0.0; n * p * p], vec![0.0; bends]);
    let mut work = Workspace::new(family, p);
    let mut point = vec![0.0; coordinates.ncols()];
    let all_flux = observations.flux.as_standard_layout();
    let all_flux = all_flux.as_slice().unwrap_or_default();
    for (i, &star) in stars.iter().enumerate() {
        point.iter_mut().zip(coordinates.row(i)).for_each(|(to, from)| *to = *from);
        let data = Data::new(&all_flux[star * w..(star + 1) * w], &observations.whitening, star, observations.common_error);
        let out = Products {
            loss: &mut loss[i],
            gradient: &mut gradient[i * p..(i + 1) * p],
            curvature: &mut curvature[i * p * p..(i + 1) * p * p],
            residual_curvature: residual_curvature.get_mut(i * p * p..(i + 1) * p * p).unwrap_or_default(),
        };
        evaluate::<V>(family, data, &point, free, order, &mut work, out);
    }
    let shape = |error: ndarray::ShapeError| Error::numerical("normal equations of a batch").source(error);
    let gradient = Array2::from_shape_vec((n, p), gradient).map_err(shape)?;
    let curvature = Array3::from_shape_vec((n, p, p), curvature).map_err(shape)?;
    let residual_curvature = match order {
        Order::Second => Array3::from_shape_vec((n, p, p), residual_curvature).map_err(shape)?,
        _ => Array3::zeros((0, p, p)),
    };
    Ok(FluxNormal { normal: Normal { loss, gradient, curvature }, residual_curvature })
}
