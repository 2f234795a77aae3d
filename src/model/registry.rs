//! The registry of effects: from a tag and a TOML table to an effect. Open: users' crates add their own.

use super::closed_form::ClosedForm;
use super::derived::Derived;
use super::distance::Distance;
use super::effect::{Effect, FluxJet, StarParameters};
use super::emulator::Emulator;
use super::extinction::Extinction;
use super::extinction_law::ExtinctionLaw;
use super::parameter::Parameter;
use super::second_star::SecondStar;
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::tensor::{Device, Tensor, WeightSpecification, Weights};
use crate::text::first_repeated;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// An effect behind a pointer: [`Effect`] without its associated constant and constructors. Implemented for
/// every [`Effect`].
pub trait AnyEffect: Debug + Send + Sync {
    /// [`Effect::KIND`].
    fn kind(&self) -> &'static str;
    /// The effect's configuration with its `kind`, as in a recipe.
    fn to_toml(&self) -> Result<toml::Table>;
    /// [`Effect::validate`].
    fn validate(&self) -> Result<()>;
    /// [`Effect::validate_on`].
    fn validate_on(&self, grid: &Grid) -> Result<()>;
    /// [`Effect::parameters`].
    fn parameters(&self) -> Vec<Parameter>;
    /// [`Effect::n_weights`].
    fn n_weights(&self, grid: &Grid) -> u128;
    /// [`Effect::weights`].
    fn weights(&self, grid: &Grid, seed: u64) -> Vec<WeightSpecification>;
    /// [`Effect::apply`].
    fn apply(&self, star: &StarParameters<'_>, weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet>;
    /// [`Effect::penalty_names`].
    fn penalty_names(&self) -> &'static [&'static str];
    /// [`Effect::penalty`].
    fn penalty(&self, name: &str, weights: &Weights, grid: &Grid, device: &Device) -> Result<Tensor<1>>;
    /// [`Effect::wavelength_weights`].
    fn wavelength_weights(&self) -> Vec<String>;
    /// [`Effect::absorb_offset`].
    fn absorb_offset(&self, weights: &mut Weights, ln_flux_offset: &[f64], device: &Device) -> Result<bool>;
    /// [`Effect::derived`].
    fn derived(&self, weights: &Weights, grid: &Grid) -> Result<Vec<Derived>>;
    /// [`Effect::closed_form`].
    fn closed_form(&self, grid: &Grid) -> Option<ClosedForm>;
    /// A copy.
    fn boxed(&self) -> Box<dyn AnyEffect>;
}

impl<E: Effect> AnyEffect for E {
    fn kind(&self) -> &'static str {
        E::KIND
    }

    fn to_toml(&self) -> Result<toml::Table> {
        let mut table = toml::Table::try_from(self)
            .map_err(|error| Error::model(format!("effect '{}'", E::KIND)).found(error.to_string()).source(error))?;
        table.insert("kind".into(), E::KIND.into());
        Ok(table)
    }

    fn validate(&self) -> Result<()> {
        Effect::validate(self)
    }

    fn validate_on(&self, grid: &Grid) -> Result<()> {
        Effect::validate_on(self, grid)
    }

    fn parameters(&self) -> Vec<Parameter> {
        Effect::parameters(self)
    }

    fn n_weights(&self, grid: &Grid) -> u128 {
        Effect::n_weights(self, grid)
    }

    fn weights(&self, grid: &Grid, seed: u64) -> Vec<WeightSpecification> {
        Effect::weights(self, grid, seed)
    }

    fn apply(&self, star: &StarParameters<'_>, weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        Effect::apply(self, star, weights, grid, flux)
    }

    fn penalty_names(&self) -> &'static [&'static str] {
        Effect::penalty_names(self)
    }

    fn penalty(&self, name: &str, weights: &Weights, grid: &Grid, device: &Device) -> Result<Tensor<1>> {
        Effect::penalty(self, name, weights, grid, device)
    }

    fn wavelength_weights(&self) -> Vec<String> {
        Effect::wavelength_weights(self)
    }

    fn absorb_offset(&self, weights: &mut Weights, ln_flux_offset: &[f64], device: &Device) -> Result<bool> {
        Effect::absorb_offset(self, weights, ln_flux_offset, device)
    }

    fn derived(&self, weights: &Weights, grid: &Grid) -> Result<Vec<Derived>> {
        Effect::derived(self, weights, grid)
    }

    fn closed_form(&self, grid: &Grid) -> Option<ClosedForm> {
        Effect::closed_form(self, grid)
    }

    fn boxed(&self) -> Box<dyn AnyEffect> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn AnyEffect> {
    fn clone(&self) -> Self {
        self.as_ref().boxed()
    }
}

type Constructor = fn(toml::Table) -> Result<Box<dyn AnyEffect>>;

/// The effects that recipes and model files may name.
#[derive(Clone)]
pub struct Registry {
    constructors: BTreeMap<&'static str, Constructor>,
}

impl Registry {
    /// The effects that photosphere brings: `emulator`, `second_star`, `extinction`,
    /// `extinction_law`, `distance`.
    pub fn standard() -> Self {
        let none = Self { constructors: BTreeMap::new() };
        none.with::<Emulator>().with::<SecondStar>().with::<Extinction>().with::<ExtinctionLaw>().with::<Distance>()
    }

    /// The same registry with one more effect.
    pub fn with<E: Effect>(mut self) -> Self {
        self.constructors.insert(E::KIND, |table| {
            let effect: E = table.try_into().map_err(|error: toml::de::Error| {
                Error::usage(format!("effect '{}'", E::KIND))
                    .found(error.message().to_string())
                    .remedy("Print the defaults with `photosphere recipe`, and correct the key.")
            })?;
            Ok(Box::new(effect))
        });
        self
    }

    /// The effects of a model, each valid and of a kind of its own: two of a kind would share their weights.
    ///
    /// # Errors
    /// When there is none, one is unknown or misconfigured, or one is there twice.
    pub fn effects(&self, tables: &[toml::Table]) -> Result<Vec<Box<dyn AnyEffect>>> {
        let effects = tables.iter().map(|table| self.effect(table.clone())).collect::<Result<Vec<_>>>()?;
        if effects.is_empty() {
            return Err(Error::usage("effect")
                .found("none")
                .expected("at least an emulator")
                .remedy("Add [[effect]] with kind = \"emulator\"."));
        }
        effects.iter().try_for_each(|effect| effect.validate())?;
        match first_repeated(effects.iter().map(|effect| effect.kind())) {
            Some(kind) => Err(Error::usage(format!("effect '{kind}'"))
                .found("it twice")
                .expected("every effect once")
                .remedy("Remove one of the two [[effect]] tables.")),
            None => Ok(effects),
        }
    }

    /// The effect that a table with the key `kind` describes.
    ///
    /// # Errors
    /// When `kind` is missing or unknown, or a key of the table is unknown or impossible.
    pub fn effect(&self, mut table: toml::Table) -> Result<Box<dyn AnyEffect>> {
        let known: Vec<&str> = self.constructors.keys().copied().collect();
        let kind = match table.remove("kind") {
            Some(toml::Value::String(kind)) => kind,
            other => {
                let found = other.map_or_else(|| "no kind".to_owned(), |kind| format!("kind = {kind}"));
                return Err(Error::usage("effect")
                    .found(found)
                    .expected(format!("one of {}", known.join(", ")))
                    .remedy("Write kind = \"…\" into the [[effect]] table."));
            }
        };
        let constructor = self.constructors.get(kind.as_str()).ok_or_else(|| {
            Error::usage(format!("effect '{kind}'"))
                .found("an unknown kind")
                .expected(format!("one of {}", known.join(", ")))
                .remedy("Correct it, or register your effect with Registry::with.")
        })?;
        constructor(table)
    }
}
