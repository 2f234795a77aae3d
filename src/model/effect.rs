//! The contract of an effect: what it declares and how it changes the flux.

use super::closed_form::ClosedForm;
use super::derived::Derived;
use super::parameter::{Parameter, ParameterSpace, Transform};
use super::registry::AnyEffect;
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::tensor::{Device, Jet, Order, Tensor, WeightSpecification, Weights};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// One physical effect on the flux of a star: an emulator of its absolute flux, dust, distance, or one of
/// your own.
///
/// An effect is its own configuration (serde), declares the star parameters that it reads and the global
/// weights that it needs, and maps a flux to a flux with arithmetic on jets. Derivatives, training, fitting,
/// covariances, catalogue columns and files follow from that. Register it with [`super::Registry::with`].
pub trait Effect: Debug + Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// Tag in recipes and model files; the names of its weights begin with it.
    const KIND: &'static str;

    /// Checks the configuration.
    ///
    /// # Errors
    /// Names the key and what it allows.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Checks the configuration for a data vector on `grid`, before a training.
    ///
    /// # Errors
    /// Names the key and what it allows.
    fn validate_on(&self, _grid: &Grid) -> Result<()> {
        Ok(())
    }

    /// Star parameters that it reads, in the order in which the model should list them.
    fn parameters(&self) -> Vec<Parameter>;

    /// Number of the global weights that [`Effect::weights`] would make, without making them: a description
    /// from a file may ask for more than there is memory. Zero where that cannot happen.
    fn n_weights(&self, _grid: &Grid) -> u128 {
        0
    }

    /// Global weights that it needs for a data vector on `grid`, with initial values drawn from `seed`.
    fn weights(&self, grid: &Grid, seed: u64) -> Vec<WeightSpecification>;

    /// The flux after this effect.
    fn apply(&self, star: &StarParameters<'_>, weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet>;

    /// Names of the penalties that a recipe may switch on by giving them a strength.
    fn penalty_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// The penalty of that name (one of [`Effect::penalty_names`]), a scalar `[1]` to be multiplied with its
    /// strength.
    fn penalty(&self, name: &str, _weights: &Weights, _grid: &Grid, _device: &Device) -> Result<Tensor<1>> {
        Err(Error::usage(format!("penalty '{name}'"))
            .found(format!("the effect '{}', which has no penalties", Self::KIND))
            .remedy("Remove the name under [penalties]."))
    }

    /// Names of its tensors of shape `[W]` or `[rows, W]` whose elements of column `w` change the flux at
    /// wavelength `w` alone; training solves for them in one step (a stage of kind `solve`).
    fn wavelength_weights(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes up a constant offset of ln flux per wavelength `[W]` into its weights (used to start training
    /// from the mean spectrum); returns whether it did.
    fn absorb_offset(&self, _weights: &mut Weights, _ln_flux_offset: &[f64], _device: &Device) -> Result<bool> {
        Ok(false)
    }

    /// Quantities of a star that follow from its parameters and these weights, such as the extinction at 550
    /// nm: columns of catalogues.
    ///
    /// # Errors
    /// When a weight is missing.
    fn derived(&self, _weights: &Weights, _grid: &Grid) -> Result<Vec<Derived>> {
        Ok(Vec::new())
    }

    /// The same effect as data, where it belongs to the standard family; models of such effects alone are
    /// evaluated by a faster engine on the processor. `grid` is that of [`Effect::apply`], with which it must
    /// agree.
    fn closed_form(&self, _grid: &Grid) -> Option<ClosedForm> {
        None
    }
}

/// The parameters of a batch of stars as jets.
#[derive(Clone)]
pub struct StarParameters<'a> {
    space: &'a ParameterSpace,
    coordinates: Tensor<2>,
    free: &'a [usize],
    order: Order,
    device: &'a Device,
    /// The effects before the one that reads the parameters.
    before: &'a [Box<dyn AnyEffect>],
    /// Positions of parameters that another one stands for, and of that.
    replaced: Vec<(usize, usize)>,
}

impl<'a> StarParameters<'a> {
    /// `coordinates [N, P]` of all parameters, of which `free` are the independent variables of the jets.
    pub fn new(space: &'a ParameterSpace, coordinates: Tensor<2>, free: &'a [usize], order: Order, device: &'a Device) -> Self {
        Self { space, coordinates, free, order, device, before: &[], replaced: Vec::new() }
    }

    /// The same for the effect that follows `before`.
    pub(super) fn after(&self, before: &'a [Box<dyn AnyEffect>]) -> Self {
        Self { before, ..self.clone() }
    }

    /// The flux that the effects before this one make of another star, some of whose parameters have the
    /// values of other parameters of the model: `replaced` are the names of the former and of the latter.
    ///
    /// # Errors
    /// When there is no effect before this one, or a parameter is unknown or moved in another transform than
    /// the one that stands for it.
    pub fn flux_of_another(&self, replaced: &[(&str, &str)], weights: &Weights, grid: &Grid) -> Result<FluxJet> {
        if self.before.is_empty() {
            return Err(Error::model("flux of another star")
                .found("no effect before the one that asks for it")
                .expected("an emulator before it")
                .remedy("Name the effects in the order in which they act."));
        }
        let mut another = self.clone();
        for (name, by) in replaced {
            let (position, source) = (self.space.position(name)?, self.space.position(by)?);
            let [transform, of_source] = [position, source].map(|at| self.space.parameters[at].transform);
            if transform != of_source {
                return Err(Error::model(format!("parameter '{by}' in place of '{name}'"))
                    .found(format!("{of_source:?} and {transform:?}"))
                    .expected("one transform for both"));
            }
            another.replaced.push((position, source));
        }
        let mut flux = FluxJet::one(grid.len(), self.device);
        for (i, effect) in self.before.iter().enumerate() {
            flux = effect.apply(&another.after(&self.before[..i]), weights, grid, flux)?;
        }
        Ok(flux)
    }

    /// Where the tensors live.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// The transform in which a parameter is moved.
    pub fn transform(&self, name: &str) -> Result<Transform> {
        Ok(self.space.get(name)?.transform)
    }

    /// Standardised coordinates of several parameters side by side, `[N, k]`.
    pub fn coordinates(&self, names: &[String]) -> Result<Jet> {
        let named = names.iter().map(|name| self.space.position(name)).collect::<Result<Vec<usize>>>()?;
        let source = |at: &usize| self.replaced.iter().find(|(position, _)| position == at).map_or(*at, |(_, source)| *source);
        let positions: Vec<usize> = named.iter().map(source).collect();
        let n = self.coordinates.dims()[0];
        let contiguous = positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let value = if contiguous && !positions.is_empty() {
            self.coordinates.clone().slice([0..n, positions[0]..positions[0] + positions.len()])
        } else {
            Tensor::cat(positions.iter().map(|&p| self.coordinates.clone().slice([0..n, p..p + 1])).collect(), 1)
        };
        let columns: Vec<Option<usize>> =
            positions.iter().map(|position| self.free.iter().position(|free| free == position)).collect();
        let jet = Jet::variables(value, &columns, self.order, self.device);
        if positions == named {
            return Ok(jet);
        }
        // From the standardisation of what stands for a parameter to the parameter's own.
        let pairs =
            positions.iter().zip(&named).map(|(&source, &at)| (&self.space.parameters[source], &self.space.parameters[at]));
        let (scale, offset): (Vec<f64>, Vec<f64>) =
            pairs.map(|(source, own)| (source.scale / own.scale, (source.centre - own.centre) / own.scale)).unzip();
        let row = |values: &[f64]| Jet::constant(self.device.tensor(values, [1, values.len()]));
        Ok(jet.mul(&row(&scale)).add(&row(&offset)))
    }

    /// The model value of a parameter, `[N, 1]`.
    pub fn value(&self, name: &str) -> Result<Jet> {
        let transformed = self.transformed(name)?;
        Ok(match self.space.get(name)?.transform {
            Transform::Identity => transformed,
            Transform::Logarithm => transformed.exp(),
        })
    }

    /// Natural logarithm of the model value of a parameter, `[N, 1]`.
    pub fn ln(&self, name: &str) -> Result<Jet> {
        let transformed = self.transformed(name)?;
        Ok(match self.space.get(name)?.transform {
            Transform::Identity => transformed.ln(),
            Transform::Logarithm => transformed,
        })
    }

    fn transformed(&self, name: &str) -> Result<Jet> {
        let parameter = self.space.get(name)?;
        Ok(self.coordinates(&[name.to_string()])?.scale(parameter.scale).offset(parameter.centre))
    }
}

/// A flux on its way through the effects, kept as ln flux as long as effects only multiply.
#[derive(Debug, Clone)]
pub enum FluxJet {
    /// ln flux `[N, W]`.
    Logarithmic(Jet),
    /// Flux `[N, W]`.
    Linear(Jet),
}

impl FluxJet {
    /// Flux 1 at every wavelength.
    pub fn one(n_wavelengths: usize, device: &Device) -> Self {
        Self::Logarithmic(Jet::constant(device.zeros([1, n_wavelengths])))
    }

    /// The flux times exp(`ln_factor`).
    pub fn multiply_exp(&self, ln_factor: &Jet) -> Self {
        match self {
            Self::Logarithmic(ln_flux) => Self::Logarithmic(ln_flux.add(ln_factor)),
            Self::Linear(flux) => Self::Linear(flux.mul(&ln_factor.exp())),
        }
    }

    /// The flux plus another flux.
    pub fn add(&self, other: &Jet) -> Self {
        Self::Linear(self.linear().add(other))
    }

    /// The flux itself.
    pub fn linear(&self) -> Jet {
        match self {
            Self::Logarithmic(ln_flux) => ln_flux.exp(),
            Self::Linear(flux) => flux.clone(),
        }
    }
}
