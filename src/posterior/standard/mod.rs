//! The processor's engine for the standard family: tanh networks of any width and depth, of one star or two,
//! ln R with or without ξ, distance, and a packed triangular whitening with a diagonal tail. Star by star in
//! single precision, vectorised over neurons and streams, without allocation per evaluation of first
//! derivatives; its numbers for a star depend on that star alone.
//!
//! | file | concept |
//! |---|---|
//! | `family` | which models belong to it |
//! | `network` | y(z), slopes, Hessian |
//! | `whitened` | L times several vectors, inner products |
//! | `star` | χ² of one star and its derivatives |

mod family;
mod network;
mod star;
#[cfg(test)]
mod tests;
mod whitened;

use super::WhitenedFlux;
use super::flux::FluxNormal;
use crate::error::{Error, Result};
use crate::model::ForwardModel;
use crate::observations::Observations;
use crate::optimise::Normal;
use crate::tensor::Order;
use crate::tensor::lanes::{Lanes, Portable, has_avx2};
use family::StandardFamily;
use ndarray::{Array2, Array3, CowArray, Ix2};
pub(super) use star::Products;
use star::{Data, Workspace, evaluate};
use std::sync::Mutex;
use std::thread::ThreadId;
pub(super) use whitened::RECENT;

/// The engine for one model.
pub(super) struct StandardEngine {
    family: StandardFamily,
    /// Working memories that nobody uses at the moment, with the threads that used them last: they hold what
    /// those will ask for again.
    spare: Mutex<Vec<(ThreadId, Workspace)>>,
    /// Whether the processor has AVX2 and FMA.
    vectorised: bool,
}

impl StandardEngine {
    /// The engine for `model` if it belongs to the family.
    ///
    /// # Errors
    /// When the model lacks a weight that its effects name.
    pub fn of(model: &ForwardModel) -> Result<Option<Self>> {
        Ok(StandardFamily::of(model)?.map(|family| Self { family, spare: Mutex::default(), vectorised: has_avx2() }))
    }

    /// Whether it has derivatives of this order: second ones of single stars alone.
    pub fn has(&self, order: Order) -> bool {
        order != Order::Second || self.family.second.is_none()
    }

    /// The flux term of the named stars at all their `coordinates [n, P]`, with derivatives for the `free`
    /// parameters.
    pub fn flux_normal(
        &self,
        observations: &Observations,
        stars: &[usize],
        coordinates: &Array2<f64>,
        free: &[usize],
        (order, keeps): (Order, bool),
    ) -> Result<FluxNormal> {
        let mut engine = self.star_engine(observations, free);
        let (n, p) = (stars.len(), free.len());
        let bends = if order == Order::Second { n * p * p } else { 0 };
        let (mut loss, mut gradient) = (vec![0.0; n], vec![0.0; n * p]);
        let (mut curvature, mut residual_curvature) = (vec![0.0; n * p * p], vec![0.0; bends]);
        let mut kept = keeps.then(|| WhitenedFlux::zeros(n, p, self.family.n_wavelengths));
        let mut point = vec![0.0; coordinates.ncols()];
        for (i, &star) in stars.iter().enumerate() {
            point.iter_mut().zip(coordinates.row(i)).for_each(|(to, from)| *to = *from);
            let out = Products {
                loss: &mut loss[i],
                gradient: &mut gradient[i * p..(i + 1) * p],
                curvature: &mut curvature[i * p * p..(i + 1) * p * p],
                residual_curvature: residual_curvature.get_mut(i * p * p..(i + 1) * p * p).unwrap_or_default(),
            };
            engine.evaluate(star, &point, order, out);
            if let Some(kept) = &mut kept {
                kept.set(i, engine.flux().iter().copied(), |row| engine.whitened(row));
            }
        }
        let shape = |error: ndarray::ShapeError| Error::numerical("normal equations of a batch").source(error);
        let gradient = Array2::from_shape_vec((n, p), gradient).map_err(shape)?;
        let curvature = Array3::from_shape_vec((n, p, p), curvature).map_err(shape)?;
        let residual_curvature = match order {
            Order::Second => Array3::from_shape_vec((n, p, p), residual_curvature).map_err(shape)?,
            _ => Array3::zeros((0, p, p)),
        };
        Ok(FluxNormal { normal: Normal { loss, gradient, curvature }, residual_curvature, whitened: kept })
    }

    /// The engine for one star after the other.
    pub fn star_engine<'a>(&'a self, observations: &'a Observations, free: &'a [usize]) -> StarEngine<'a> {
        let flux = observations.flux.as_standard_layout();
        StarEngine { engine: self, observations, flux, free, work: self.take_workspace(free.len()) }
    }

    fn take_workspace(&self, n_free: usize) -> Workspace {
        let this = std::thread::current().id();
        let spare = self.spare.lock().ok().and_then(|mut spare| {
            let suits = |own: bool| spare.iter().position(|(thread, work)| work.n_free() == n_free && (*thread == this || !own));
            let position = suits(true).or_else(|| suits(false))?;
            Some(spare.swap_remove(position).1)
        });
        spare.unwrap_or_else(|| Workspace::new(&self.family, n_free))
    }

    fn give_back(&self, work: Workspace) {
        if let Ok(mut spare) = self.spare.lock() {
            spare.push((std::thread::current().id(), work));
        }
    }
}

/// The engine with working memory for one star.
pub(super) struct StarEngine<'a> {
    engine: &'a StandardEngine,
    observations: &'a Observations,
    /// `[N, W]`, row by row.
    flux: CowArray<'a, f32, Ix2>,
    free: &'a [usize],
    work: Workspace,
}

impl StarEngine<'_> {
    /// The flux term of a star at all its `coordinates [P]` and, by `order`, its derivatives.
    pub fn evaluate(&mut self, star: usize, coordinates: &[f64], order: Order, out: Products<'_>) {
        #[cfg(target_arch = "x86_64")]
        if self.engine.vectorised {
            // SAFETY: AVX2 and FMA were detected when the engine was made.
            unsafe { self.evaluate_avx2(star, coordinates, order, out) };
            return;
        }
        self.evaluate_in::<Portable>(star, coordinates, order, out);
    }

    /// The predicted flux `[W]` of the last evaluation.
    pub fn flux(&self) -> &[f32] {
        &self.work.flux()[..self.engine.family.n_wavelengths]
    }

    /// Of the last evaluation with derivatives, whitened `[W]`: model less data (row 0), and the derivatives
    /// of the flux along the free coordinates (the rows after it).
    pub fn whitened(&self, row: usize) -> &[f32] {
        &self.work.whitened(row)[..self.engine.family.n_wavelengths]
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn evaluate_avx2(&mut self, star: usize, coordinates: &[f64], order: Order, out: Products<'_>) {
        self.evaluate_in::<crate::tensor::lanes::Avx2>(star, coordinates, order, out);
    }

    #[inline(always)]
    fn evaluate_in<V: Lanes>(&mut self, star: usize, coordinates: &[f64], order: Order, out: Products<'_>) {
        let w = self.engine.family.n_wavelengths;
        let flux = &self.flux.as_slice().unwrap_or_default()[star * w..(star + 1) * w];
        let data = Data { flux, whitening: &self.observations.whitening, star };
        evaluate::<V>(&self.engine.family, data, coordinates, self.free, order, &mut self.work, out);
    }
}

impl Drop for StarEngine<'_> {
    fn drop(&mut self) {
        self.engine.give_back(std::mem::take(&mut self.work));
    }
}
