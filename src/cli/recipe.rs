//! `photosphere recipe`: built-in recipes and the defaults of every option.

use super::built_in::{self, Purpose};
use super::outcome::Outcome;
use crate::confidence::ConfidenceOptions;
use crate::distance::DistanceRecipe;
use crate::error::{Error, Result};
use crate::infer::FitOptions;
use crate::package::{Kind, kind_of};
use crate::per_pixel::SpectrumFitOptions;
use crate::pixel_networks::{JointRecipe, PixelRecipe, PolynomialRecipe};
use crate::regress::{RegressionModel, RegressionRecipe};
use crate::simulate::SurveyConfig;
use crate::simulate::line_list::SpectraConfig;
use crate::survey::prepare::PrepareRecipe;
use crate::train::Recipe;
use serde::Serialize;
use serde_json::json;

/// Print a built-in recipe, or the defaults of `fit`, `distance`, `simulate`, `prepare` or models of spectra,
/// as TOML to start from.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of a built-in recipe, or fit, confidence, pixel-networks, pixel-polynomials, joint-network,
    /// fit-pixel-networks, distance, simulate, simulate-spectra, prepare; without it, what there is.
    name: Option<String>,
    /// Print every key of a recipe with its value, also those left at their defaults.
    #[arg(long)]
    all_keys: bool,
}

/// Prints.
pub fn run(arguments: &Arguments) -> Result<Outcome> {
    let Some(name) = &arguments.name else { return Ok(list()) };
    let defaults = DEFAULTS.iter().find(|defaults| defaults.name == name.as_str());
    let text = match (defaults, built_in::find(name)) {
        (Some(defaults), _) => (defaults.toml)()?,
        (_, Some(recipe)) => match (arguments.all_keys, recipe.purpose) {
            (false, _) => recipe.text.to_owned(),
            (true, Purpose::Train) if kind_of(recipe.text).as_deref() == Some(RegressionModel::KIND) => {
                RegressionRecipe::parse(recipe.text, recipe.name)?.to_toml()?
            }
            (true, Purpose::Train) => Recipe::parse(recipe.text, recipe.name)?.to_toml()?,
            (true, Purpose::Prepare) => toml_of(&PrepareRecipe::parse(recipe.text)?)?,
        },
        (_, None) => {
            let names: Vec<&str> = all().map(|(name, _)| name).collect();
            return Err(Error::usage(format!("recipe '{name}'"))
                .found("no such built-in recipe")
                .expected(format!("one of {}", names.join(", ")))
                .remedy("`photosphere recipe` lists them."));
        }
    };
    Ok(Outcome::answer(text.clone(), json!({ "name": name, "toml": text })))
}

/// Options that are printed with their defaults.
struct Defaults {
    name: &'static str,
    description: &'static str,
    toml: fn() -> Result<String>,
}

impl Defaults {
    const fn new(name: &'static str, description: &'static str, toml: fn() -> Result<String>) -> Self {
        Self { name, description, toml }
    }
}

/// All of them.
const DEFAULTS: [Defaults; 10] = [
    Defaults::new("fit", "defaults of `fit --config`", || toml_of(&FitOptions::default())),
    Defaults::new("confidence", "defaults of `confidence --config`", || toml_of(&ConfidenceOptions::default())),
    Defaults::new("pixel-networks", "defaults of the training of a network per pixel", || PixelRecipe::default().to_toml()),
    Defaults::new("pixel-polynomials", "defaults of the training of a polynomial per pixel", || {
        PolynomialRecipe::default().to_toml()
    }),
    Defaults::new("joint-network", "defaults of the training of one network for all pixels", || JointRecipe::default().to_toml()),
    Defaults::new(
        "fit-pixel-networks",
        "defaults of `fit --config` with such models",
        || toml_of(&SpectrumFitOptions::default()),
    ),
    Defaults::new("distance", "defaults of `distance --config`", || toml_of(&DistanceRecipe::default())),
    Defaults::new("simulate", "defaults of `simulate --config`", || toml_of(&SurveyConfig::default())),
    Defaults::new("simulate-spectra", "defaults of `simulate spectra --config` and `simulate library --config`", || {
        toml_of(&SpectraConfig::default())
    }),
    Defaults::new("prepare", "defaults of the recipes of `prepare`", || toml_of(&PrepareRecipe::default())),
];

/// Names and descriptions of all that can be printed.
fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let recipes = built_in::ALL.iter().map(|recipe| (recipe.name, recipe.description));
    recipes.chain(DEFAULTS.iter().map(|defaults| (defaults.name, defaults.description)))
}

fn toml_of(options: &impl Serialize) -> Result<String> {
    toml::to_string(options).map_err(|error| Error::output("options as TOML").found(error.to_string()).source(error))
}

fn list() -> Outcome {
    let widest = all().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let text: String = all().map(|(name, description)| format!("{name:<widest$}{description}\n")).collect();
    let names: Vec<&str> = all().map(|(name, _)| name).collect();
    Outcome::answer(text, json!({ "names": names }))
}
