//! The posterior of stars under a forward model: −2 ln P as a batch of [`NormalEquations`].
//!
//! −2 ln P = χ²_flux + Σ ((x − x̂)/σ)² − 2 ln p_mixture(labels) + Gaussian priors − 2 Σ ln x over logarithmic
//! parameters (spec 1 §4–5; Zhang, Green & Rix 2023, eqs. 13, 14, 19). Which terms enter is chosen by
//! [`Terms`]. Training and inference stand on this room.
//!
//! Two engines compute the flux term: the tensor engine takes any model on any device, in single or double
//! precision; the standard engine (`posterior/standard`) takes models of the standard family on the
//! processor, in single precision and faster.

mod flux;
mod host;
mod on_device;
mod slices;
mod standard;
mod star_by_star;
mod whitened;

pub use host::Terms;
pub use on_device::{bytes_per_star, minimise_on_device};
pub use slices::Slices;
pub use whitened::WhitenedFlux;

use crate::error::{Error, Result};
use crate::model::ForwardModel;
use crate::observations::{Constraint, Observations};
use crate::optimise::{Barrier, Evaluator, Normal, NormalEquations, Problems};
use crate::prior::GaussianMixture;
use crate::tensor::{Device, Order, Precision};
use flux::FluxNormal;
use host::{HostTerms, Sums};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use standard::StandardEngine;
use star_by_star::StarByStar;
use std::borrow::Cow;

/// −2 ln P of every star of `observations` in the free coordinates of `model`.
///
/// Problem `i` is row `i` of the observations. Coordinates that are not free stay at their row of `fixed [N,
/// P]`.
pub struct Posterior<'a> {
    model: &'a ForwardModel,
    observations: &'a Observations,
    host: HostTerms<'a>,
    free: Vec<usize>,
    fixed: Cow<'a, Array2<f64>>,
    standard: Option<StandardEngine>,
}

/// Problems that the standard engine solves together: their whitenings stay in its memory, and in the
/// second-level cache.
const STANDARD_BATCH: usize = standard::RECENT;

/// The posterior of several stars around given coordinates.
#[derive(Debug, Clone)]
pub struct Local {
    /// χ² of the flux `[n]`.
    pub chi_square: Vec<f64>,
    /// Fisher information `[n, P_free, P_free]` in the linear parameters (model units): Jᵀ C⁻¹ J of the flux
    /// plus 1/σ² of the constraints and Gaussian priors (spec 1 §5, eqs. 21–23; the print has σ² where 1/σ²
    /// is meant). The mixture and the Jacobians of the positive parameters are not included.
    pub information: Array3<f64>,
    /// The flux's part of the Gauss–Newton curvature of −2 ln P in coordinates `[n, P_free, P_free]`: 2 Jᵀ
    /// C⁻¹ J.
    pub flux_curvature: Array3<f64>,
    /// ∂²(−2 ln P)/∂x² in coordinates `[n, P_free, P_free]`, if it was asked for.
    pub hessian: Option<Array3<f64>>,
    /// The flux as it was evaluated, with the normal equations of all terms, if they were asked for.
    pub whitened: Option<(WhitenedFlux, Normal)>,
}

/// What is wanted of [`Posterior::local`] besides χ² and information.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalParts {
    pub hessian: bool,
    pub whitened: bool,
}

impl<'a> Posterior<'a> {
    /// The posterior with all parameters of the model free but those in `held`, which stay at their
    /// coordinate in `fixed [N, P]` (all P parameters).
    ///
    /// # Errors
    /// When the data vectors of model and observations differ, a held parameter or a term's parameter is not
    /// in the model, or the shape of `fixed` is not `[N, P]`.
    pub fn new(
        model: &'a ForwardModel,
        observations: &'a Observations,
        terms: &Terms<'a>,
        held: &[String],
        fixed: Array2<f64>,
    ) -> Result<Self> {
        Self::with_fixed(model, observations, terms, held, Cow::Owned(fixed))
    }

    /// The posterior of stars at `coordinates [N, P]`, with all parameters free but those in `held`.
    ///
    /// # Errors
    /// As [`Posterior::new`].
    pub fn around(
        model: &'a ForwardModel,
        observations: &'a Observations,
        terms: &Terms<'a>,
        (coordinates, held): (&'a Array2<f64>, &[String]),
    ) -> Result<Self> {
        Self::with_fixed(model, observations, terms, held, Cow::Borrowed(coordinates))
    }

    fn with_fixed(
        model: &'a ForwardModel,
        observations: &'a Observations,
        terms: &Terms<'a>,
        held: &[String],
        fixed: Cow<'a, Array2<f64>>,
    ) -> Result<Self> {
        model.grid.require_same(&observations.grid)?;
        let expected = (observations.len(), model.space.len());
        if fixed.dim() != expected {
            return Err(Error::numerical("fixed coordinates")
                .found(format!("{:?}", fixed.dim()))
                .expected(format!("{expected:?}")));
        }
        let held = held.iter().map(|name| model.space.position(name)).collect::<Result<Vec<usize>>>()?;
        let free = (0..model.space.len()).filter(|position| !held.contains(position)).collect();
        let host = HostTerms::new(&model.space, observations, terms)?;
        let standard = StandardEngine::of(model)?;
        Ok(Self { model, observations, host, free, fixed, standard })
    }

    /// The same posterior with other measurements of a parameter (file units) in place of those of the
    /// observations.
    ///
    /// # Errors
    /// When the parameter is not in the model.
    pub fn with_measured(mut self, parameter: &str, measured: &'a Constraint) -> Result<Self> {
        self.host.set_measured(self.model.space.position(parameter)?, measured);
        Ok(self)
    }

    /// The same posterior with the prior of the labels of a second star, given those that it shares with the
    /// first: −2 ln p(Θ₂)/p(shared labels) by `mixture`. `replaced` are the labels that it has of its own,
    /// with the names of the parameters in their place.
    ///
    /// # Errors
    /// When a parameter is not in the model, or a label not in the mixture.
    pub fn with_second_star(mut self, mixture: &GaussianMixture, replaced: &[(String, String)]) -> Result<Self> {
        if let Some((label, _)) = replaced.iter().find(|(label, _)| !mixture.parameters().contains(label)) {
            return Err(Error::model(format!("mixture prior, label '{label}'"))
                .found("none of that name, which a second star is to have of its own")
                .expected(mixture.parameters().join(", ")));
        }
        let own = |name: &String| replaced.iter().find(|(label, _)| label == name).map(|(_, own)| own);
        let position = |name: &String| self.model.space.position(own(name).unwrap_or(name));
        let second = mixture.parameters().iter().map(position).collect::<Result<Vec<usize>>>()?;
        let shared = mixture.parameters().iter().filter(|name| own(name).is_none());
        let shared = shared.map(|name| self.model.space.position(name)).collect::<Result<Vec<usize>>>()?;
        self.host.add_second_star(mixture, second, &shared)?;
        Ok(self)
    }

    /// The same posterior computed by the tensor engine, whatever the model.
    pub fn with_tensors(self) -> Self {
        Self { standard: None, ..self }
    }

    /// Name of the engine that computes the flux term, for the log.
    pub fn engine_name(&self) -> &'static str {
        if self.standard.is_some() { "standard" } else { "tensor" }
    }

    /// Where the model and the batches of the device's path lie.
    pub fn device(&self) -> &Device {
        self.model.device()
    }

    /// Positions of the free parameters in the model's parameter space.
    pub fn free(&self) -> &[usize] {
        &self.free
    }

    /// All coordinates `[n, P]` of the named stars from their free ones `[n, P_free]`.
    pub fn all_coordinates(&self, stars: &[usize], free: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut all = self.fixed.select(Axis(0), stars);
        for (column, &position) in self.free.iter().enumerate() {
            all.column_mut(position).assign(&free.column(column));
        }
        all
    }

    /// The free columns of coordinates `[n, P]`.
    pub fn free_coordinates(&self, all: ArrayView2<'_, f64>) -> Array2<f64> {
        all.select(Axis(1), &self.free)
    }

    /// χ² of the flux alone `[n]`.
    pub fn flux_chi_square(&self, stars: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        let all = self.all_coordinates(stars, coordinates);
        Ok(self.flux_normal(stars, &all, (Order::Value, false))?.normal.loss)
    }

    /// −2 ln of all prior terms and constraints `[n]`: the loss without the flux term.
    pub fn prior_loss(&self, stars: &[usize], coordinates: ArrayView2<'_, f64>) -> Vec<f64> {
        let all = self.all_coordinates(stars, coordinates);
        let mut work = self.host.work(&self.free);
        stars.iter().zip(all.rows()).map(|(&star, row)| self.host.loss(star, &row.to_vec(), &mut work)).collect()
    }

    /// What the posterior looks like around the coordinates: χ², information and, if asked for, the exact
    /// Hessian and the whitened flux.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn local(&self, stars: &[usize], coordinates: ArrayView2<'_, f64>, parts: LocalParts) -> Result<Local> {
        let all = self.all_coordinates(stars, coordinates);
        let order = if parts.hessian { Order::Second } else { Order::First };
        let mut flux = self.flux_normal(stars, &all, (order, parts.whitened))?;
        let whitened = match flux.whitened.take() {
            None => None,
            Some(whitened) => {
                let mut normal = flux.normal.clone();
                self.add_host_terms(stars, &all, &mut normal, false)?;
                Some((whitened, normal))
            }
        };
        let information = self.information(stars, &all, &flux.normal.curvature);
        let chi_square = flux.normal.loss.clone();
        let flux_curvature = flux.normal.curvature.clone();
        let hessian = match parts.hessian {
            false => None,
            true => Some(self.exact(stars, &all, flux)?),
        };
        Ok(Local { chi_square, information, flux_curvature, hessian, whitened })
    }

    /// Jᵀ C⁻¹ J of the flux, from twice that in coordinates, plus 1/σ² of the constraints and Gaussian
    /// priors.
    fn information(&self, stars: &[usize], all: &Array2<f64>, curvature: &Array3<f64>) -> Array3<f64> {
        let n = self.free.len();
        let mut information = curvature.clone();
        let mut slopes = vec![0.0; n];
        for (i, &star) in stars.iter().enumerate() {
            for (slope, &position) in slopes.iter_mut().zip(&self.free) {
                *slope = self.model.space.parameters[position].model_value_slope(all[[i, position]]);
            }
            for p in 0..n {
                for q in 0..n {
                    information[[i, p, q]] /= 2.0 * slopes[p] * slopes[q];
                }
                information[[i, p, p]] += self.host.information(star, self.free[p]);
            }
        }
        information
    }

    /// The exact Hessian from second-order flux derivatives.
    fn exact(&self, stars: &[usize], all: &Array2<f64>, flux: FluxNormal) -> Result<Array3<f64>> {
        let mut normal = flux.normal;
        normal.curvature += &flux.residual_curvature;
        self.add_host_terms(stars, all, &mut normal, true)?;
        Ok(normal.curvature)
    }

    /// Problems to be solved together: `tensors` of them for the tensor engine, which wants long batches,
    /// fewer for the standard engine, so that a star's whitening stays in the cache from one step to the
    /// next.
    pub fn batch(&self, tensors: usize) -> usize {
        if self.standard.is_some() { tensors.min(STANDARD_BATCH) } else { tensors }
    }

    /// Problems of a fit to be minimised together, of `n`: `tensors` of them for the tensor engine; all, one
    /// after the other on one thread, for the standard engine, since others are fitted on other threads.
    pub fn together(&self, n: usize, tensors: usize) -> usize {
        if self.standard.is_some() { n.max(1) } else { tensors }
    }

    /// The flux term of stars with derivatives by the order and, if they are to be kept, the whitened rows.
    fn flux_normal(&self, stars: &[usize], all: &Array2<f64>, (order, keeps): (Order, bool)) -> Result<FluxNormal> {
        if let Some(engine) = self.standard.as_ref().filter(|engine| engine.has(order)) {
            return engine.flux_normal(self.observations, stars, all, &self.free, (order, keeps));
        }
        let flat: Vec<f64> = all.iter().copied().collect();
        let coordinates = self.model.device().tensor(&flat, [all.nrows(), all.ncols()]);
        let jet = self.model.flux(coordinates, &self.free, order)?;
        match self.model.device().precision() {
            Precision::Single => FluxNormal::new::<f32>(jet, self.observations, stars, (self.free.len(), keeps)),
            Precision::Double => FluxNormal::new::<f64>(jet, self.observations, stars, (self.free.len(), keeps)),
        }
    }

    fn add_host_terms(&self, stars: &[usize], all: &Array2<f64>, normal: &mut Normal, exact: bool) -> Result<()> {
        let (p, n) = (all.ncols(), self.free.len());
        let (Some(gradients), Some(curvatures)) = (normal.gradient.as_slice_mut(), normal.curvature.as_slice_mut()) else {
            return Err(Error::numerical("normal equations").found("a strided array").expected("rows in sequence"));
        };
        let mut work = self.host.work(&self.free);
        let mut coordinates = vec![0.0; p];
        for (i, (&star, row)) in stars.iter().zip(all.rows()).enumerate() {
            coordinates.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
            let sums = Sums {
                loss: &mut normal.loss[i],
                gradient: &mut gradients[i * n..(i + 1) * n],
                curvature: &mut curvatures[i * n * n..(i + 1) * n * n],
            };
            self.host.add(star, &coordinates, exact, &mut work, sums);
        }
        Ok(())
    }
}

impl NormalEquations for Posterior<'_> {
    fn n_problems(&self) -> usize {
        self.observations.len()
    }

    fn n_parameters(&self) -> usize {
        self.free.len()
    }

    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal> {
        let all = self.all_coordinates(problems, coordinates);
        let mut normal = self.flux_normal(problems, &all, (Order::First, false))?.normal;
        self.add_host_terms(problems, &all, &mut normal, false)?;
        Ok(normal)
    }

    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        let mut loss = self.flux_chi_square(problems, coordinates)?;
        loss.iter_mut().zip(self.prior_loss(problems, coordinates)).for_each(|(loss, prior)| *loss += prior);
        Ok(loss)
    }
}

impl Problems for Posterior<'_> {
    fn evaluator(&self) -> Option<Box<dyn Evaluator + '_>> {
        Some(Box::new(StarByStar::new(self)?))
    }

    /// The amounts that are free and moved as logarithms with their Jacobians: ln flux is linear in an amount
    /// itself, or nearly so.
    fn barriers(&self) -> Vec<Barrier> {
        let free = self.free.iter().map(|&position| &self.host.parameters[position]).enumerate();
        let amounts = free.filter(|(_, terms)| terms.jacobian && terms.parameter.is_amount());
        amounts.map(|(position, terms)| Barrier { position, scale: terms.parameter.scale }).collect()
    }

    /// Exact, from second-order jets.
    fn hessian(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Array3<f64>> {
        let all = self.all_coordinates(problems, coordinates);
        let flux = self.flux_normal(problems, &all, (Order::Second, false))?;
        self.exact(problems, &all, flux)
    }
}
