//! The recipe of a direct network, as TOML. Unknown keys are errors; defaults print themselves.

use super::check::check_errors;
use super::inputs::InputsRecipe;
use super::steps::Step;
use super::target::Target;
use crate::error::{Error, Result};
use crate::learn::Plan;
use crate::observations::{Cut, ReadOptions};
use crate::quantity::require_free_names;
use crate::tensor::DescentMethod;
use crate::tensor::layers::{Layer, Network};
use crate::text::read_toml;
use crate::train::CardText;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `kind` of a recipe says that it is one of these.
pub const KIND: &str = "regression";

/// Fewest stars to which a recipe may limit what is learned from.
const FEWEST_OF_SOME: usize = 100;

/// A training of direct networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionRecipe {
    pub kind: String,
    /// One line, for the model card.
    pub description: String,
    #[serde(default = "default_seed")]
    pub seed: u64,
    #[serde(default)]
    pub card: CardText,
    #[serde(default)]
    pub data: DataRecipe,
    #[serde(default)]
    pub inputs: InputsRecipe,
    pub target: Target,
    #[serde(default)]
    pub training: TrainingRecipe,
    #[serde(default)]
    pub errors: ErrorsRecipe,
    #[serde(default)]
    pub baselines: BaselinesRecipe,
    /// The layers before the last one, which is linear and follows from the target.
    #[serde(rename = "layer")]
    pub layers: Vec<Layer>,
}

/// What is taken from the observation file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// Constants added to measured values, by name (parallax zero-point, mas).
    pub offsets: BTreeMap<String, f64>,
    /// Fractional error added in quadrature to every flux error.
    pub fractional_error: f64,
    /// Fraction of stars that nothing but the comparison sees, by a hash of the identifier.
    pub validation_fraction: f64,
    /// Fraction of the others that says when to stop and calibrates the errors, by another hash.
    pub held_out_fraction: f64,
    /// Cuts on the whole sample.
    #[serde(rename = "cut", skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            offsets: BTreeMap::new(),
            fractional_error: 0.0,
            validation_fraction: 0.2,
            held_out_fraction: 0.1,
            cuts: Vec::new(),
        }
    }
}

/// How networks are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingRecipe {
    /// Networks of different seeds, whose mean predicts.
    pub members: u32,
    pub batch: usize,
    pub optimiser: DescentMethod,
    /// Norm to which the gradient of a batch is scaled down where it is larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_gradient: Option<f64>,
    pub plan: Plan,
}

impl Default for TrainingRecipe {
    fn default() -> Self {
        Self { members: 5, batch: 256, optimiser: DescentMethod::default(), largest_gradient: Some(10.0), plan: Plan::default() }
    }
}

/// How errors are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorsRecipe {
    /// Copies of every star with noise, which take turns through the networks; none without noise.
    pub copies: u32,
}

impl Default for ErrorsRecipe {
    fn default() -> Self {
        Self { copies: 20 }
    }
}

/// Regressions on the same inputs for the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BaselinesRecipe {
    pub linear: bool,
    /// Number of neighbours; 0 for none.
    pub nearest_neighbours: usize,
    pub boosting: bool,
    /// Most stars that they learn from, and most validation stars of the comparison, by a hash of the
    /// identifier.
    pub most_stars: usize,
}

impl Default for BaselinesRecipe {
    fn default() -> Self {
        Self { linear: true, nearest_neighbours: 10, boosting: true, most_stars: 100_000 }
    }
}

fn default_seed() -> u64 {
    1
}

impl RegressionRecipe {
    /// Parses and validates a recipe; `place` (a file name) is for messages.
    ///
    /// # Errors
    /// Names the key that is unknown, missing or impossible.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let recipe: Self = read_toml(text).map_err(|fault| {
            Error::usage(place)
                .found(fault)
                .expected("a recipe of a regression")
                .remedy("`photosphere recipe` prints recipes with all keys.")
        })?;
        recipe.validate().map_err(|error| error.within(place))?;
        Ok(recipe)
    }

    fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(key).found(found).expected(expected).remedy("Correct the recipe."))
        };
        let fractions = [
            ("data.validation_fraction", self.data.validation_fraction),
            ("data.held_out_fraction", self.data.held_out_fraction),
            ("data.fractional_error", self.data.fractional_error),
        ];
        if let Some((key, value)) = fractions.into_iter().find(|(_, value)| !(0.0..1.0).contains(value)) {
            return fault(key, value.to_string(), "a fraction from 0 to below 1");
        }
        if !(0.0..=1.0).contains(&self.inputs.most_missing) {
            return fault("inputs.most_missing", self.inputs.most_missing.to_string(), "a fraction from 0 to 1");
        }
        if let Some((name, value)) = self.data.offsets.iter().find(|(_, value)| !value.is_finite()) {
            return fault(&format!("data.offsets.{name}"), value.to_string(), "a number");
        }
        let training = &self.training;
        if !(1..=1000).contains(&training.members) {
            return fault("training.members", training.members.to_string(), "from 1 to 1000 networks");
        }
        for (key, value) in [("inputs.most_stars", self.inputs.most_stars), ("baselines.most_stars", self.baselines.most_stars)] {
            if value < FEWEST_OF_SOME {
                return fault(key, value.to_string(), &format!("at least {FEWEST_OF_SOME} stars"));
            }
        }
        if training.batch == 0 {
            return fault("training.batch", "0".into(), "at least one star");
        }
        if let Some(largest) = training.largest_gradient.filter(|largest| *largest <= 0.0 || largest.is_nan()) {
            return fault("training.largest_gradient", largest.to_string(), "a positive number");
        }
        training.optimiser.validate("training.optimiser")?;
        check_errors(&self.target, training.members as usize, self.errors.copies).map_err(|error| error.within("errors"))?;
        self.inputs.steps.iter().try_for_each(Step::validate)?;
        training.plan.validate().map_err(|error| error.within("training.plan"))?;
        if let Target::Labels { names, .. } = &self.target {
            require_free_names("target, names", names)?;
        }
        self.target.validate()
    }

    /// The network from `inputs` numbers.
    ///
    /// # Errors
    /// When its layers do not fit each other.
    pub fn network(&self, inputs: usize) -> Result<Network> {
        let last = Layer::Linear { outputs: self.target.n_outputs() };
        let layers = self.layers.iter().copied().chain([last]).collect();
        let network = Network { name: "network".into(), inputs, layers };
        network.forms()?;
        Ok(network)
    }

    /// How observations have to be read for training; `width` is the length of their data vectors.
    pub fn read_options(&self, width: usize) -> ReadOptions {
        let mut constraints = self.target.measured();
        for name in self.inputs.measured() {
            if !constraints.contains(&name) {
                constraints.push(name);
            }
        }
        ReadOptions {
            constraints,
            offsets: self.data.offsets.clone(),
            model_error: vec![self.data.fractional_error; width],
            ..Default::default()
        }
    }

    /// The recipe as TOML, defaults included.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::output("recipe").found(error.to_string()).source(error))
    }
}
