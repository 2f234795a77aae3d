//! The forward model: a composition of effects over one data vector, with its parameter space and global
//! weights.

use super::calibration::Calibration;
use super::check::check_size;
use super::derived::Derived;
use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::{Parameter, ParameterSpace, Transform};
use super::registry::{AnyEffect, Registry};
use super::second_star::SecondStar;
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::quantity::FLUX_UNIT;
use crate::tensor::{Device, Jet, Order, Tensor, Weights, to_f64};
use ndarray::{Array2, ArrayView2};

/// A generative model of the flux of stars.
#[derive(Debug, Clone)]
pub struct ForwardModel {
    /// The data vector.
    pub grid: Grid,
    /// The effects, in the order in which they act.
    pub effects: Vec<Box<dyn AnyEffect>>,
    /// The star parameters and their standardisation.
    pub space: ParameterSpace,
    /// The global weights.
    pub weights: Weights,
    /// Fractional error of the model itself per wavelength (1σ of flux/flux), added in quadrature to the
    /// diagonal of the flux covariance when stars are fitted; zeros when none was estimated.
    pub model_error: Vec<f64>,
    /// How well the zero points of the star parameters are known; it widens the covariances of fits.
    pub calibration: Option<Calibration>,
    /// The unit of its flux: that of the observations that it was trained on. Empty where they stated none.
    pub flux_unit: String,
    device: Device,
}

impl ForwardModel {
    /// A model from effect tables (each with its `kind`), with fresh weights drawn from `seed`.
    ///
    /// # Errors
    /// As [`Registry::effects`]; when two effects disagree on a shared parameter, or there would be too many
    /// weights.
    pub fn new(registry: &Registry, effects: &[toml::Table], grid: Grid, seed: u64, device: &Device) -> Result<Self> {
        let effects = registry.effects(effects)?;
        effects.iter().try_for_each(|effect| effect.validate_on(&grid))?;
        check_size(effects.iter().map(|effect| effect.n_weights(&grid)).fold(0, u128::saturating_add))?;
        let space = ParameterSpace::union(effects.iter().flat_map(|effect| effect.parameters()))?;
        let specifications: Vec<_> =
            effects.iter().enumerate().flat_map(|(i, effect)| effect.weights(&grid, seed.wrapping_add(i as u64))).collect();
        let weights = Weights::new(&specifications, device)?;
        let model_error = vec![0.0; grid.len()];
        Ok(Self {
            grid,
            effects,
            space,
            weights,
            model_error,
            calibration: None,
            flux_unit: FLUX_UNIT.into(),
            device: device.clone(),
        })
    }

    /// Where the weights live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same model on another device, precision or tape.
    pub fn to(&self, device: &Device) -> Self {
        Self { weights: self.weights.to(device), device: device.clone(), ..self.clone() }
    }

    /// Chooses the transform in which a parameter is moved.
    ///
    /// # Errors
    /// When the model has no such parameter, or it is standardised (a label), whose centre and scale belong
    /// to its transform.
    pub fn set_transform(&mut self, name: &str, transform: Transform) -> Result<()> {
        let position = self.space.position(name)?;
        let parameter = &mut self.space.parameters[position];
        if transform != parameter.transform && (parameter.centre, parameter.scale) != (0.0, 1.0) {
            return Err(Error::usage(format!("transform of '{name}'"))
                .found(format!("a parameter standardised as {:?}", parameter.transform))
                .expected("a parameter without standardisation, no label")
                .remedy("Leave its transform out."));
        }
        *parameter = parameter.clone().with_transform(transform);
        Ok(())
    }

    /// The same model, with the same weights, of two stars whose light is not resolved: the second one has
    /// labels of its own, after the parameters of this model and in the standardisation of the first one's,
    /// and shares all else. They have no prior here, and the range of the training.
    ///
    /// # Errors
    /// When the model is one of two stars already, or lacks such a label.
    pub fn with_second_star(&self, second: SecondStar) -> Result<Self> {
        let fault = |found: String, expected: &str| {
            Err(Error::usage("a second star").found(found).expected(expected).remedy("Fit without a second star."))
        };
        Effect::validate(&second)?;
        if self.effects.iter().any(|effect| effect.kind() == SecondStar::KIND) {
            return fault("a model of two stars already".into(), "a model of single stars");
        }
        let mut model = self.clone();
        for (label, own) in second.replaced() {
            let parameter = self.space.parameters.iter().find(|parameter| parameter.name == label && parameter.is_label());
            let Some(parameter) = parameter else {
                let of_model: Vec<&str> =
                    self.space.parameters.iter().filter(|p| p.is_label()).map(|parameter| parameter.name.as_str()).collect();
                return fault(format!("no label '{label}'"), &format!("some of {}", of_model.join(", ")));
            };
            if self.space.position(&own).is_ok() {
                return fault(format!("a parameter '{own}'"), "none of that name");
            }
            model.space.parameters.push(second.of_label(parameter));
        }
        let reads_label = |effect: &dyn AnyEffect| effect.parameters().iter().any(Parameter::is_label);
        let after = self.effects.iter().rposition(|effect| reads_label(effect.as_ref())).map_or(0, |last| last + 1);
        model.effects.insert(after, Box::new(second));
        // It is one of single stars.
        model.calibration = None;
        Ok(model)
    }

    /// Number of global weights.
    pub fn n_weights(&self) -> usize {
        self.weights.n_values()
    }

    /// Flux jet at `coordinates [N, P]`, with derivatives to the `free` coordinates up to `order`.
    ///
    /// # Shapes
    /// `value [N, W]`; derivatives as [`Jet`] keeps them, numbered by position in `free`.
    pub fn flux(&self, coordinates: Tensor<2>, free: &[usize], order: Order) -> Result<Jet> {
        let star = StarParameters::new(&self.space, coordinates, free, order, &self.device);
        let mut flux = FluxJet::one(self.grid.len(), &self.device);
        for (i, effect) in self.effects.iter().enumerate() {
            flux = effect.apply(&star.after(&self.effects[..i]), &self.weights, &self.grid, flux)?;
        }
        Ok(flux.linear())
    }

    /// Flux at `coordinates [N, P]` on the host, `[N, W]`, computed in blocks of bounded memory.
    pub fn predict(&self, coordinates: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let mut flux = Array2::zeros((coordinates.nrows(), self.grid.len()));
        for (block, mut rows) in
            coordinates.axis_chunks_iter(ndarray::Axis(0), 1024).zip(flux.axis_chunks_iter_mut(ndarray::Axis(0), 1024))
        {
            let values: Vec<f64> = block.iter().copied().collect();
            let jet = self.flux(self.device.tensor(&values, [block.nrows(), block.ncols()]), &[], Order::Value)?;
            rows.iter_mut().zip(to_f64(jet.value)).for_each(|(to, from)| *to = from);
        }
        Ok(flux)
    }

    /// Sum of the penalties with their strengths, a taped scalar `[1]`, or `None` when no strength is above
    /// zero.
    ///
    /// # Errors
    /// When a name is not a penalty of any effect.
    pub fn penalty(&self, strengths: &std::collections::BTreeMap<String, f64>) -> Result<Option<Tensor<1>>> {
        let mut total: Option<Tensor<1>> = None;
        for (name, &strength) in strengths {
            let effect = self.effects.iter().find(|effect| effect.penalty_names().contains(&name.as_str())).ok_or_else(|| {
                let names: Vec<&str> = self.effects.iter().flat_map(|effect| effect.penalty_names()).copied().collect();
                Error::usage(format!("penalty '{name}'"))
                    .found("an unknown name")
                    .expected(format!("one of {}", names.join(", ")))
                    .remedy("Correct the name under [penalties].")
            })?;
            if strength > 0.0 {
                let term = effect.penalty(name, &self.weights, &self.grid, &self.device)? * strength;
                total = Some(total.map_or_else(|| term.clone(), |sum| sum + term.clone()));
            }
        }
        Ok(total)
    }

    /// The quantities of stars that follow from their parameters, by the effects that derive them.
    ///
    /// # Errors
    /// When a weight that an effect names is missing.
    pub fn derived(&self) -> Result<Vec<Derived>> {
        let derived = self.effects.iter().map(|effect| effect.derived(&self.weights, &self.grid));
        Ok(derived.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Names of all tensors whose elements act at one wavelength each.
    pub fn wavelength_weights(&self) -> Vec<String> {
        self.effects.iter().flat_map(|effect| effect.wavelength_weights()).collect()
    }

    /// Lets the first effect that can take up a constant offset of ln flux `[W]`.
    pub fn absorb_offset(&mut self, ln_flux_offset: &[f64]) -> Result<()> {
        for effect in &self.effects {
            if effect.absorb_offset(&mut self.weights, ln_flux_offset, &self.device)? {
                return Ok(());
            }
        }
        Ok(())
    }
}
