//! What the options of a fit make of a model and observations: transforms, held parameters, terms and bounds
//! of −2 ln P.

use super::calibration::{Added, ZeroPoints};
use super::engine::Engine;
use super::options::FitOptions;
use super::second_optimum::Separations;
use super::truncated::truncate;
use crate::error::Result;
use crate::model::{ForwardModel, Parameter, Transform};
use crate::observations::Observations;
use crate::optimise::dense::{Inverse, invert_positive_semidefinite};
use crate::optimise::{Bounds, NormalEquations};
use crate::posterior::{Posterior, Terms};
use crate::prior::GaussianMixture;
use crate::train::TrainedModel;
use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use std::sync::Arc;

/// What options make of a model, whatever the observations.
pub(super) struct Setup {
    /// The model with the transforms of the options.
    pub model: ForwardModel,
    /// Positions of the held parameters.
    pub held: Vec<usize>,
    /// Coordinates `[P]` of the held parameters, zero for the others.
    pub fixed: Vec<f64>,
    /// Positions of the free amounts that are moved as themselves and cannot be negative.
    pub amounts: Vec<usize>,
    /// Names of the parameters whose measured values the options want as constraints.
    pub constraints: Vec<String>,
    pub trained: Arc<TrainedModel>,
    pub options: FitOptions,
}

impl Setup {
    /// Checks the options against the model.
    ///
    /// # Errors
    /// As [`FitOptions::validate_for`], and where a transform does not suit its parameter.
    pub fn new(trained: Arc<TrainedModel>, options: &FitOptions) -> Result<Self> {
        options.validate_for(&trained.model.space)?;
        let mut model = trained.model.clone();
        for (name, transform) in &options.transforms {
            model.set_transform(name, *transform)?;
        }
        let mut fixed = vec![0.0; model.space.len()];
        let mut held = Vec::new();
        for (name, &value) in &options.hold {
            let position = model.space.position(name)?;
            let parameter = &mut model.space.parameters[position];
            if value <= 0.0 && parameter.transform == Transform::Logarithm {
                // A positive parameter held at zero has no logarithm; held, it needs none.
                parameter.transform = Transform::Identity;
            }
            fixed[position] = parameter.coordinate_from_file(value);
            held.push(position);
        }
        let mut amounts = Vec::new();
        for (position, parameter) in model.space.parameters.iter_mut().enumerate() {
            let is_left_to_us =
                !options.jacobians && !held.contains(&position) && !options.transforms.contains_key(&parameter.name);
            if is_left_to_us && parameter.is_amount() && (parameter.centre, parameter.scale) == (0.0, 1.0) {
                // The optimum in the amount itself may be at zero, which has no logarithm.
                parameter.transform = Transform::Identity;
                amounts.push(position);
            }
        }
        let constraints = model.space.named(&options.constraints);
        Ok(Self { model, held, fixed, amounts, constraints, trained, options: options.clone() })
    }
}

/// Matrices `[n, F, F]` of the free parameters of stars, file units.
pub(super) struct Covariances {
    /// Fisher information.
    pub information: Array3<f64>,
    /// Its inverse, widened by the error of the model's zero points; NaN where there is none.
    pub covariance: Array3<f64>,
    /// The part of it that like stars share.
    pub shared: Array3<f64>,
    /// By what Gaussian posteriors that are not cut at zero are widened.
    pub widening: Array3<f64>,
}

/// The minimisation that some options ask for.
pub(super) struct Problem<'a> {
    /// The model with the transforms of the options.
    pub model: &'a ForwardModel,
    /// The constraints of the options that the observations have.
    pub constraints: Vec<String>,
    fixed: &'a [f64],
    amounts: &'a [usize],
    trained: &'a TrainedModel,
    observations: &'a Observations,
    options: &'a FitOptions,
}

impl<'a> Problem<'a> {
    /// The problem of fitting `observations`.
    pub fn new(setup: &'a Setup, observations: &'a Observations) -> Self {
        let Setup { model, fixed, amounts, constraints, trained, options, .. } = setup;
        let constraints = constraints.iter().filter(|name| observations.constraints.contains_key(*name)).cloned();
        Self { model, constraints: constraints.collect(), fixed, amounts, trained, observations, options }
    }

    /// −2 ln P of every star.
    ///
    /// # Errors
    /// When model and observations have different data vectors.
    pub fn posterior(&self) -> Result<Posterior<'_>> {
        let fixed = Array2::from_shape_fn((self.observations.len(), self.model.space.len()), |(_, p)| self.fixed[p]);
        let terms = Terms {
            constraints: &self.constraints,
            mixture: self.options.mixture_prior.then_some(&self.trained.prior),
            jacobians: self.options.jacobians,
        };
        let held: Vec<String> = self.options.hold.keys().cloned().collect();
        let posterior = Posterior::new(self.model, self.observations, &terms, &held, fixed)?;
        Ok(if self.options.engine == Engine::Auto { posterior } else { posterior.with_tensors() })
    }

    /// Bounds of the free coordinates. An amount is not negative; all others are far outside of what data
    /// prefer: they stop ln E of a star without dust on its way to −∞, and labels where the network was never
    /// trained.
    pub fn bounds(&self, free: &[usize]) -> Bounds {
        let limits = free.iter().map(|&position| {
            let parameter = &self.model.space.parameters[position];
            // An amount that the options move as itself may be negative.
            let is_free =
                parameter.is_amount() && parameter.transform == Transform::Identity && !self.amounts.contains(&position);
            let [low, high] = if is_free { [f64::NEG_INFINITY, f64::INFINITY] } else { parameter.limits() };
            (low, high)
        });
        let (lower, upper) = limits.unzip();
        Bounds { lower, upper }
    }

    /// When two points in the free coordinates are two stars.
    pub fn separations(&self, free: &[usize]) -> Separations {
        Separations::new(&self.model.space, free, &self.options.second_optimum)
    }

    /// The mixture prior of the labels, whether or not it is one of the terms.
    pub fn prior(&self) -> &GaussianMixture {
        &self.trained.prior
    }

    /// Identifiers of the stars.
    pub fn ids(&self) -> &[i64] {
        &self.observations.ids
    }

    /// Values of the free parameters in file units `[n, F]` at their coordinates.
    pub fn values(&self, free: &[usize], coordinates: ArrayView2<'_, f64>) -> Array2<f64> {
        Array2::from_shape_fn(coordinates.dim(), |(i, p)| {
            let parameter = &self.model.space.parameters[free[p]];
            parameter.model_value(coordinates[[i, p]]) / parameter.model_units_per_file_unit
        })
    }

    /// Model values `[P]` of the held parameters; the others are whatever their coordinate of zero means.
    pub fn fixed_values(&self) -> Vec<f64> {
        self.model.space.parameters.iter().zip(self.fixed).map(|(parameter, &u)| parameter.model_value(u)).collect()
    }

    /// Fisher information and covariance `[n, F, F]` of the free parameters in file units, from the
    /// information in model units at free coordinates `[n, F]`. The covariance contains the error of the
    /// model's zero points, if the options want it; one that does not exist is NaN. That of an amount at zero
    /// is about zero (see `infer/truncated.rs`).
    ///
    /// # Errors
    /// What the evaluation of gradients returns.
    pub fn covariances(
        &self,
        posterior: &Posterior<'_>,
        stars: &[usize],
        coordinates: ArrayView2<'_, f64>,
        mut information: Array3<f64>,
    ) -> Result<Covariances> {
        let (free, space) = (posterior.free(), &self.model.space);
        let factor: Vec<f64> = free.iter().map(|&p| space.parameters[p].model_units_per_file_unit).collect();
        information.indexed_iter_mut().for_each(|((_, p, q), element)| *element *= factor[p] * factor[q]);
        let calibration = self.model.calibration.as_ref().filter(|_| self.options.model_error);
        let constraints = &self.constraints;
        let held: Vec<usize> = (0..space.len()).filter(|position| !free.contains(position)).collect();
        let zero_points = calibration.map(|calibration| ZeroPoints { calibration, space, free, held: &held, constraints });
        let all: Vec<usize> = (0..space.len()).collect();
        let everything = posterior.all_coordinates(stars, coordinates);
        let values = self.values(&all, everything.view());
        let with_held = match zero_points {
            Some(_) if !held.is_empty() => Some(self.information_with_held(stars, &everything, (free, &held))?),
            _ => None,
        };
        let slopes = self.slopes_at_zero(posterior, stars, coordinates)?;
        let mut covariance = Array3::from_elem(information.dim(), f64::NAN);
        let (mut shared, mut widening) = (Array3::zeros(information.dim()), Array3::zeros(information.dim()));
        let n = factor.len();
        let mut added = Added::none(n);
        let (mut flat, mut of_parameters) = (vec![0.0; n * n], vec![0.0; space.len()]);
        for (i, &star) in stars.iter().enumerate() {
            flat.iter_mut().zip(information.index_axis(Axis(0), i)).for_each(|(to, from)| *to = *from);
            let Some(Inverse { matrix: formal, .. }) = invert_positive_semidefinite(&flat, n) else { continue };
            flat.copy_from_slice(&formal);
            if let Some(zero_points) = &zero_points {
                of_parameters.iter_mut().zip(values.row(i)).for_each(|(to, from)| *to = *from);
                let with_held = with_held.as_ref().and_then(|all| all.index_axis(Axis(0), i).to_slice()).unwrap_or(&[]);
                zero_points.add((self.observations, star), &of_parameters, (&formal, with_held), &mut added);
                flat.iter_mut().zip(&added.whole).for_each(|(wide, added)| *wide += added);
                put(&mut widening, i, &added.whole);
            }
            for &(_, p, slope) in slopes.iter().filter(|(row, _, _)| *row == i) {
                truncate((&mut flat, &mut added.shared), n, p, slope, formal[p * n + p]);
            }
            put(&mut covariance, i, &flat);
            put(&mut shared, i, &added.shared);
        }
        Ok(Covariances { information, covariance, shared, widening })
    }

    /// The information `[n, F, H]` of the fluxes between free and held parameters, in file units, at all
    /// coordinates `[n, P]` of `stars`.
    fn information_with_held(
        &self,
        stars: &[usize],
        coordinates: &Array2<f64>,
        (free, held): (&[usize], &[usize]),
    ) -> Result<Array3<f64>> {
        let observations = self.observations.select(stars);
        let terms = Terms { constraints: &[], mixture: None, jacobians: false };
        let posterior = Posterior::around(self.model, &observations, &terms, (coordinates, &[]))?;
        let rows: Vec<usize> = (0..stars.len()).collect();
        let curvature = posterior.normal_equations(&rows, coordinates.view())?.curvature;
        let per_file_unit = |i: usize, position: usize| {
            let parameter = &self.model.space.parameters[position];
            parameter.model_units_per_file_unit / parameter.model_value_slope(coordinates[[i, position]])
        };
        Ok(Array3::from_shape_fn((stars.len(), free.len(), held.len()), |(i, a, b)| {
            0.5 * curvature[[i, free[a], held[b]]] * per_file_unit(i, free[a]) * per_file_unit(i, held[b])
        }))
    }

    /// Row, free position and slope of −2 ln P per file unit, for every amount at zero in the coordinates
    /// `[n, F]` of `stars`.
    fn slopes_at_zero(
        &self,
        posterior: &Posterior<'_>,
        stars: &[usize],
        coordinates: ArrayView2<'_, f64>,
    ) -> Result<Vec<(usize, usize, f64)>> {
        let of_amounts = posterior.free().iter().enumerate().filter(|(_, position)| self.amounts.contains(position));
        let columns: Vec<(usize, &Parameter)> =
            of_amounts.map(|(p, &position)| (p, &self.model.space.parameters[position])).collect();
        let is_at_zero = |row: usize| columns.iter().any(|(p, parameter)| parameter.model_value(coordinates[[row, *p]]) <= 0.0);
        let rows: Vec<usize> = (0..stars.len()).filter(|&row| is_at_zero(row)).collect();
        let members: Vec<usize> = rows.iter().map(|&row| stars[row]).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let normal = posterior.normal_equations(&members, coordinates.select(Axis(0), &rows).view())?;
        let mut slopes = Vec::new();
        for (i, &row) in rows.iter().enumerate() {
            for (p, parameter) in columns.iter().filter(|(p, parameter)| parameter.model_value(coordinates[[row, *p]]) <= 0.0) {
                let per_file_unit = parameter.model_units_per_file_unit / parameter.model_value_slope(coordinates[[row, *p]]);
                slopes.push((row, *p, normal.gradient[[i, *p]] * per_file_unit));
            }
        }
        Ok(slopes)
    }
}

/// Sets the matrix of a star.
fn put(stack: &mut Array3<f64>, star: usize, matrix: &[f64]) {
    stack.slice_mut(s![star, .., ..]).iter_mut().zip(matrix).for_each(|(to, from)| *to = *from);
}
