//! The training recipe: everything that decides a model, as TOML. Unknown keys are errors; defaults print
//! themselves.

use super::weighting::Weighting;
use crate::error::{Error, Result};
use crate::learn::Schedule;
use crate::model::{ParameterSpace, Registry, Role, Transform};
use crate::observations::Cut;
use crate::optimise::Method;
use crate::prior::MixtureFit;
use crate::tensor::DescentMethod;
use crate::text::read_toml;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A training run, from the composition of the model to its stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// One line, for the model card.
    pub description: String,
    #[serde(default = "default_seed")]
    pub seed: u64,
    #[serde(default)]
    pub card: CardText,
    #[serde(default)]
    pub data: DataRecipe,
    /// Transforms that differ from the effects' own (ln E or E), by parameter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transforms: BTreeMap<String, Transform>,
    /// Strengths of the penalties of the mean loss of a star, by name (`kernel`, `extinction_smoothness`, …).
    /// They overrule data however many stars there are.
    #[serde(default = "default_penalties")]
    pub penalties: BTreeMap<String, f64>,
    /// Widths σ of Gaussian priors on what the penalties of these names measure: penalty/σ² is added to −2 ln
    /// P of all stars together, as much as one measurement with the error σ would add. They give way to data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub priors: BTreeMap<String, f64>,
    #[serde(default)]
    pub loss: LossRecipe,
    /// Unresolved binaries that cleaning cannot find.
    #[serde(default)]
    pub binaries: BinaryRecipe,
    /// The mixture prior of the labels.
    #[serde(default)]
    pub prior: MixtureFit,
    /// The effects of the forward model, in order; each names its `kind`.
    #[serde(rename = "effect")]
    pub effects: Vec<toml::Table>,
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
}

/// Texts of the model card.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CardText {
    /// Where the training data come from.
    pub data: String,
    /// What the model must not be used for.
    pub limits: String,
    pub licence: String,
    pub citation: String,
}

/// What is taken from the observation file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// Parameters whose measured values and errors constrain the stars, by their names or that of their role
    /// (label, amount, distance, shape).
    pub constraints: Vec<String>,
    /// Those of them, by name or role, that a file need not have.
    pub optional: Vec<String>,
    /// Constants added to measured values, by parameter (parallax zero-point, mas).
    pub offsets: BTreeMap<String, f64>,
    /// Factors of the errors of measured values, by parameter: those that the end of an earlier training
    /// found (or a survey's own). Without them errors are taken as they are said.
    pub error_factors: BTreeMap<String, f64>,
    /// Whether a training that finds such factors (beyond 1.25, and surely) is followed by another one with
    /// them, which is then the result.
    pub learn_error_factors: bool,
    /// Fractional error added in quadrature to every flux error during training.
    pub fractional_error: f64,
    /// Fraction of stars, chosen by a hash of their identifier, that never trains.
    pub validation_fraction: f64,
    /// Fraction of those that decides which state of the weights is kept; the errors of the model come from
    /// the others.
    pub stopping_fraction: f64,
    /// Cuts on the whole sample.
    #[serde(rename = "cut")]
    pub cuts: Vec<Cut>,
}

/// The flux loss of the global step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossRecipe {
    /// F of the robust loss F·asinh(χ²/F) that replaces χ²; zero keeps χ². Stars far above F lose their pull.
    pub robust_scale: f64,
    /// Whether the star step has the Jacobians −2 ln ϖ − 2 ln E of flat priors on positive parameters (eq.
    /// 14).
    pub jacobians: bool,
}

/// Unresolved binaries: pairs of like stars, twice as bright as one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BinaryRecipe {
    /// Their share of the stars where too few (200) can tell one star from two; otherwise it is estimated,
    /// after every step of a `solve` stage and every `refine` stage. Zero: there are none.
    pub share: f64,
}

/// One stage of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stage {
    /// Epochs over the training stars.
    Learn(Learn),
    /// The stars' own parameters to their optimum, global weights fixed.
    Refine(Refine),
    /// Steps of the weights that act at one wavelength each, with the stars eliminated.
    Solve(Solve),
    /// Removal of stars that disagree with their own measurements and with like stars (self-cleaning).
    Clean(Clean),
}

/// Epochs that move the global weights, the stars' parameters, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learn {
    pub name: String,
    pub epochs: u32,
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// Rate of the first epoch; without it the global weights stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Norm to which the gradient of the weights in a batch, over all of them, is scaled down where it is
    /// larger; the same for each parameter of the stars of a batch with `gradient_step`. Without it there is
    /// no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_gradient: Option<f64>,
    #[serde(default)]
    pub schedule: Schedule,
    /// Epochs over which the rate rises from zero, at the beginning and after each return to an earlier
    /// state.
    #[serde(default = "default_warm_up")]
    pub warm_up: f64,
    /// Largest fraction by which an epoch may raise the loss of the stopping stars above the best one of the
    /// stage. Beyond it weights and stars return to the best state, and the rate is halved for the rest of
    /// the stage. Infinity: never.
    #[serde(default = "default_largest_increase")]
    pub largest_increase: f64,
    #[serde(default)]
    pub optimiser: DescentMethod,
    /// Beginnings of the names of the weights that move (`emulator`, `extinction`); empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<String>,
    /// How the stars' own parameters move; without it they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stars: Option<StarUpdate>,
    /// The stars' own parameters that move, by their names or roles (label, amount, distance, shape); the
    /// others stay. Empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub star_parameters: Vec<String>,
    /// How much stars count in the gradient of the weights: the product of all, over its mean in a batch.
    /// Without any, all count the same. Losses, and what they decide, are those of all stars alike.
    #[serde(default, rename = "weight", skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<Weighting>,
    /// Stars that enter this stage.
    #[serde(default, rename = "cut", skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
    /// Epochs without a better loss of the stopping stars after which the stage ends. (The best state is kept
    /// in any case.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
}

/// How stars move between or within epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum StarUpdate {
    /// Levenberg–Marquardt iterations of all stars before every epoch.
    LevenbergMarquardt { iterations: u32 },
    /// Levenberg–Marquardt iterations of the stars of each batch, before the step of the weights. The
    /// gradient of the weights is then that of the profile likelihood; small learning rates only, as nothing
    /// but the constraints holds the weights along directions in which the stars can follow them.
    Profile { iterations: u32 },
    /// A step of gradient descent for the stars of each batch, after the step of the weights (the published
    /// method).
    GradientStep { learning_rate: f64 },
}

/// Settings of a refinement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refine {
    pub name: String,
    #[serde(default)]
    pub stars: Method,
}

/// Settings of the steps of the wavelength weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solve {
    pub name: String,
    /// Steps; the stars follow after each.
    pub steps: u32,
    /// Damping of the first step, relative to the diagonal; each step that helps divides it by ten, down to a
    /// hundredth. It must lie below the ratio (~1e-4) of the information on directions in which the stars
    /// follow to that with the stars fixed, or those do not move. Small samples want more: what damping
    /// leaves out is what noise would fill.
    #[serde(default = "default_damping")]
    pub damping: f64,
    /// Stars that decide; a cut on a noisy measured value, as ϖ/σ, selects its errors.
    #[serde(default, rename = "cut", skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
}

/// Thresholds of the self-cleaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clean {
    pub name: String,
    /// Largest |x − x̂|/σ of a label or the parallax.
    #[serde(default = "four_sigma")]
    pub parameter_sigma: f64,
    /// Largest √Σ((x − x̂)/σ)² over the labels and the parallax. A binary is too bright for its gravity and
    /// its parallax together (the paper's Fig. 4 has 3.5).
    #[serde(default = "four_sigma")]
    pub combined_sigma: f64,
    /// Largest |f − f̂|/σ at any wavelength; where a star has so many fluxes that noise alone exceeds it, the
    /// limit that noise exceeds in one star of a hundred (4.8 for 5 500 fluxes).
    #[serde(default = "four_sigma")]
    pub flux_sigma: f64,
    /// Largest mean of ((f − f̂)/σ)² over the wavelengths. Without it there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_square_flux: Option<f64>,
    /// Largest share of the stars that may go at once: those that are furthest beyond their limits. A model
    /// that is wrong disagrees with many good stars, and without them nothing would show that it is.
    #[serde(default = "default_largest_share")]
    pub largest_share: f64,
}

fn default_seed() -> u64 {
    1
}

fn default_batch() -> usize {
    512
}

fn default_damping() -> f64 {
    1e-7
}

fn default_warm_up() -> f64 {
    1.0
}

fn default_largest_increase() -> f64 {
    0.2
}

fn default_largest_share() -> f64 {
    0.05
}

fn four_sigma() -> f64 {
    4.0
}

fn default_penalties() -> BTreeMap<String, f64> {
    [("kernel".into(), 1.0)].into()
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            constraints: [Role::Label, Role::Distance, Role::Amount].map(|role| role.name().to_owned()).to_vec(),
            optional: Vec::new(),
            offsets: BTreeMap::new(),
            error_factors: BTreeMap::new(),
            learn_error_factors: false,
            fractional_error: 0.0,
            validation_fraction: 0.2,
            stopping_fraction: 0.25,
            cuts: Vec::new(),
        }
    }
}

impl Default for LossRecipe {
    fn default() -> Self {
        Self { robust_scale: 0.0, jacobians: false }
    }
}

impl Stage {
    /// The name of the stage.
    pub fn name(&self) -> &str {
        match self {
            Self::Learn(stage) => &stage.name,
            Self::Refine(stage) => &stage.name,
            Self::Solve(stage) => &stage.name,
            Self::Clean(stage) => &stage.name,
        }
    }
}

impl Recipe {
    /// Parses and validates a recipe; `place` (a file name) is for messages.
    ///
    /// # Errors
    /// Names the key that is unknown, missing or impossible.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let recipe: Self = read_toml(text)
            .map_err(|fault| Error::usage(place).found(fault).remedy("`photosphere recipe` prints recipes with all keys."))?;
        recipe.validate().map_err(|error| error.within(place))?;
        Ok(recipe)
    }

    /// Reads a recipe file.
    ///
    /// # Errors
    /// When the file cannot be read, or as [`Recipe::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let error = Error::usage(path.display().to_string()).found(error.to_string()).source(error);
            error.expected("a recipe (TOML)").remedy("`photosphere recipe` lists the built-in recipes.")
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Names of the parameters whose measured values constrain the stars: those that the roles among
    /// `data.constraints` mean, and those named.
    ///
    /// # Errors
    /// When an effect is unknown or misconfigured, or two of them do not agree.
    pub fn constraints(&self, registry: &Registry) -> Result<Vec<String>> {
        Ok(self.space(registry)?.named(&self.data.constraints))
    }

    /// The same of `data.optional`.
    ///
    /// # Errors
    /// As [`Recipe::constraints`].
    pub fn optional(&self, registry: &Registry) -> Result<Vec<String>> {
        Ok(self.space(registry)?.named(&self.data.optional))
    }

    fn space(&self, registry: &Registry) -> Result<ParameterSpace> {
        let effects = registry.effects(&self.effects)?;
        ParameterSpace::union(effects.iter().flat_map(|effect| effect.parameters()))
    }

    /// Strengths of the penalties of the mean loss of `n_stars` stars, priors included.
    pub(super) fn strengths(&self, n_stars: usize) -> BTreeMap<String, f64> {
        let mut strengths = self.penalties.clone();
        for (name, sigma) in &self.priors {
            *strengths.entry(name.clone()).or_insert(0.0) += 1.0 / (sigma * sigma * n_stars.max(1) as f64);
        }
        strengths
    }

    /// The recipe as TOML, defaults included.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::output("recipe").found(error.to_string()).source(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "description = 'x'\n[[effect]]\nkind = 'emulator'\n[[stage]]\nkind = 'learn'\nname = 'a'\nepochs = 3\nlearning_rate = 1e-3\n";

    #[test]
    fn defaults_print_and_read_back() {
        let recipe = Recipe::parse(MINIMAL, "r.toml").unwrap();
        assert_eq!(Recipe::parse(&recipe.to_toml().unwrap(), "printed").unwrap(), recipe);
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_usage_errors_that_name_them() {
        for (addition, name) in [
            ("epoch = 4\n", "epoch"),
            ("batch = 0\n", "batch"),
            ("schedule = { shape = 'cosine', end_fraction = 1.5 }\n", "end_fraction"),
            ("schedule = { shape = 'steps', epochs = [2], factor = nan }\n", "schedule.factor"),
            ("stars = { method = 'gradient_step', learning_rate = -1e-4 }\n", "stars.learning_rate"),
            ("[data]\nvalidation_fraction = 1.5\n", "validation_fraction"),
            ("[penalties]\nkernel = -1.0\n", "kernel"),
            ("[priors]\ninfrared_index = 0.0\n", "priors.infrared_index"),
            ("[binaries]\nshare = 0.6\n", "binaries.share"),
            ("warm_up = -1.0\n", "warm_up"),
            ("largest_increase = 0.0\n", "largest_increase"),
        ] {
            let error = Recipe::parse(&format!("{MINIMAL}{addition}"), "r.toml").unwrap_err();
            assert!(error.to_string().contains(name) && error.to_string().starts_with("r.toml"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn every_shipped_training_recipe_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/recipes");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        // The others are recipes of `prepare`, which has a test of its own.
        let files: Vec<_> = files.filter(|path| !name(path).starts_with("prepare-")).collect();
        assert!(["xp-paper.toml", "xp-paper-variation.toml"].iter().all(|known| files.iter().any(|path| name(path) == *known)));
        for path in files {
            let recipe = Recipe::read(&path).unwrap();
            assert_eq!(Recipe::parse(&recipe.to_toml().unwrap(), "printed").unwrap(), recipe, "{}", path.display());
        }
    }

    #[test]
    fn a_prior_weighs_as_much_as_one_measurement_however_many_stars_there_are() {
        let recipe = Recipe::parse(&format!("{MINIMAL}[priors]\ninfrared_index = 0.1\n"), "r.toml").unwrap();
        for n in [10, 20_000] {
            let strengths = recipe.strengths(n);
            assert!((n as f64 * strengths["infrared_index"] - 100.0).abs() < 1e-9 && strengths["kernel"] == 1.0);
        }
    }

    #[test]
    fn schedules() {
        let steps = Schedule::Steps { epochs: vec![32, 64], factor: 0.1 };
        assert!((steps.factor(31, 128) - 1.0).abs() < 1e-15 && (steps.factor(64, 128) - 0.01).abs() < 1e-15);
        let cosine = Schedule::Cosine { end_fraction: 0.1 };
        assert!((cosine.factor(0, 10) - 1.0).abs() < 1e-15 && (cosine.factor(10, 10) - 0.1).abs() < 1e-15);
    }
}
