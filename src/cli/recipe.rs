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
use crate::survey::prepare::PrepareRecipe;
use crate::train::Recipe;
use serde::Serialize;
use serde_json::json;

/// Print a built-in recipe, or the defaults of `fit`, `distance`, `simulate`, `prepare` or models of spectra,
/// as TOML to start from.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of a built-in recipe, or fit, confidence, pixel-networks, pixel-polynomials, joint-network,
    /// fit-pixel-networks, distance, simulate, prepare; without it, what there is.
    name: Option<String>,
    /// Print every key of a recipe with its value, also those left at their defaults.
    #[arg(long)]
    all_keys: bool,
}

/// Prints.
pub fn run(arguments: &Arguments) -> Result<Outcome> {
    let Some(name) = &arguments.name else { return Ok(list()) };
    let text = match (name.as_str(), built_in::find(name)) {
        ("fit", _) => toml_of(&FitOptions::default())?,
        ("confidence", _) => toml_of(&ConfidenceOptions::default())?,
        ("pixel-networks", _) => PixelRecipe::default().to_toml()?,
        ("pixel-polynomials", _) => PolynomialRecipe::default().to_toml()?,
        ("joint-network", _) => JointRecipe::default().to_toml()?,
        ("fit-pixel-networks", _) => toml_of(&SpectrumFitOptions::default())?,
        ("distance", _) => toml_of(&DistanceRecipe::default())?,
        ("simulate", _) => toml_of(&SurveyConfig::default())?,
        ("prepare", _) => toml_of(&PrepareRecipe::default())?,
        (_, Some(recipe)) => match (arguments.all_keys, recipe.purpose) {
            (false, _) => recipe.text.to_owned(),
            (true, Purpose::Train) if kind_of(recipe.text).as_deref() == Some(RegressionModel::KIND) => {
                RegressionRecipe::parse(recipe.text, recipe.name)?.to_toml()?
            }
            (true, Purpose::Train) => Recipe::parse(recipe.text, recipe.name)?.to_toml()?,
            (true, Purpose::Prepare) => toml_of(&PrepareRecipe::parse(recipe.text)?)?,
        },
        (_, None) => {
            let names: Vec<&str> = built_in::ALL.iter().map(|recipe| recipe.name).collect();
            return Err(Error::usage(format!("recipe '{name}'"))
                .found("no such built-in recipe")
                .expected(format!(
                    "one of {}, fit, confidence, pixel-networks, pixel-polynomials, joint-network, fit-pixel-networks, distance, simulate, prepare",
                    names.join(", ")
                ))
                .remedy("`photosphere recipe` lists them."));
        }
    };
    Ok(Outcome::answer(text.clone(), json!({ "name": name, "toml": text })))
}

fn toml_of(options: &impl Serialize) -> Result<String> {
    toml::to_string(options).map_err(|error| Error::output("options as TOML").found(error.to_string()).source(error))
}

fn list() -> Outcome {
    let defaults = [
        ("fit", "defaults of `fit --config`"),
        ("confidence", "defaults of `confidence --config`"),
        ("pixel-networks", "defaults of the training of a network per pixel"),
        ("pixel-polynomials", "defaults of the training of a polynomial per pixel"),
        ("joint-network", "defaults of the training of one network for all pixels"),
        ("fit-pixel-networks", "defaults of `fit --config` with such models"),
        ("distance", "defaults of `distance --config`"),
        ("simulate", "defaults of `simulate --config`"),
        ("prepare", "defaults of the recipes of `prepare`"),
    ];
    let all: Vec<(&str, &str)> = built_in::ALL.iter().map(|recipe| (recipe.name, recipe.description)).chain(defaults).collect();
    let text: String = all.iter().map(|(name, description)| format!("{name:<28}{description}\n")).collect();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    Outcome::answer(text, json!({ "names": names }))
}
