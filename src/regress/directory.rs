//! Models of the kind `regression` on disk: `model.toml` and `weights.safetensors`, 32-bit floats.
//!
//! | tensor | shape |
//! |---|---|
//! | `member_m.layer_i.weight`, `.bias` | as [`crate::tensor::layers`] says |
//! | `inputs.step_i.softening`, `.mean`, `.deviation`, `.centre` | `[W]` |
//! | `inputs.step_i.components` | `[K, W]` |
//! | `inputs.fallback` | `[after the steps]` |
//! | `domain.mean`, `domain.factor` | `[D]`, `[D, D]` |

use super::calibration::ErrorCalibration;
use super::check::check;
use super::domain::Domain;
use super::inputs::{Inputs, InputsRecipe};
use super::leftover::LeftoverLimit;
use super::model::{RegressionModel, TrainingLog};
use super::objective::Scaling;
use super::recipe::KIND;
use super::steps::{FittedStep, Step};
use super::target::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ModelCard;
use crate::observations::Grid;
use crate::package::MODEL_FOLDER;
use crate::table::{write_directory_atomically, write_member};
use crate::tensor::file;
use crate::tensor::layers::{Network, Predictor};
use crate::tensor::{Device, Weights};
use crate::text::hexadecimal;
use crate::text::read_toml;
use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

const DESCRIPTION_FILE: &str = "model.toml";
const WEIGHTS_FILE: &str = "weights.safetensors";
const TRAINING_FILE: &str = "training.json";
const COMPARISON_FILE: &str = "comparison.md";
/// The training sample, which the command line puts beside.
pub const STARS_FILE: &str = "training_stars.parquet";
/// Most weights of a model, all members together.
const MOST_WEIGHTS: usize = 1 << 28;

/// What the description and the weights mean. Outputs of mixtures stood for other numbers in format 1.
fn format_of(target: &Target) -> u32 {
    match target {
        Target::MixtureOfMagnitudes(_) => 2,
        Target::Labels { .. } | Target::Luminosity(_) => 1,
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub format: u32,
    pub kind: String,
    pub flux_unit: String,
    pub fractional_error: f64,
    pub copies: u32,
    pub seed: u64,
    pub members: usize,
    pub domain_threshold: f64,
    /// What components leave over of training stars beyond noise, and the largest multiple of it inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_leftover: Option<[f64; 2]>,
    pub training_range: Vec<[f64; 2]>,
    pub further_inputs: Vec<[f64; 3]>,
    pub offsets: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_flux: Option<[f64; 2]>,
    /// Positions of the entries that no training star had a flux for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrained: Vec<usize>,
    pub scaling: Scaling,
    pub calibration: Vec<ErrorCalibration>,
    pub grid: Grid,
    pub target: Target,
    pub inputs: InputsRecipe,
    pub network: Network,
    /// Shape of every tensor in `weights.safetensors`.
    pub tensors: BTreeMap<String, Vec<usize>>,
    pub card: ModelCard,
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub(super) fn fault(place: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::model(place).found(found).expected(expected).remedy("Get the model again, or train it again.")
}

impl RegressionModel {
    fn description(&self, card: ModelCard) -> Result<Description> {
        Ok(Description {
            format: format_of(&self.target),
            kind: KIND.into(),
            flux_unit: self.flux_unit.clone(),
            fractional_error: self.fractional_error,
            copies: self.copies,
            seed: self.seed,
            members: self.members.len(),
            domain_threshold: self.domain.threshold,
            domain_leftover: self.domain.leftover.map(|found| [found.typical, found.limit]),
            training_range: self.training_range.clone(),
            further_inputs: self.inputs.further.clone(),
            offsets: self.offsets.clone(),
            units: self.units.clone(),
            domain_flux: self.domain.flux,
            untrained: self.inputs.untrained.clone(),
            scaling: self.scaling.clone(),
            calibration: self.calibration.clone(),
            grid: self.inputs.grid.clone(),
            target: self.target.clone(),
            inputs: self.inputs.recipe.clone(),
            network: self.network.clone(),
            tensors: self.tensors()?.into_iter().map(|(name, (shape, _))| (name, shape)).collect(),
            card,
        })
    }

    fn tensors(&self) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        let mut put = |name: String, shape: Vec<usize>, values: Vec<f32>| drop(tensors.insert(name, (shape, values)));
        for (member, weights) in self.members.iter().enumerate() {
            for name in weights.names() {
                let values = weights.values(name)?.into_iter().map(|value| value as f32).collect();
                put(member_name(member, name, &self.network.name), weights.shape(name)?.to_vec(), values);
            }
        }
        for (position, step) in self.inputs.steps.iter().enumerate() {
            let mut vector = |part: &str, values: &[f32]| put(step_name(position, part), vec![values.len()], values.to_vec());
            match step {
                FittedStep::Asinh { softening } => vector("softening", softening),
                FittedStep::Standardise { mean, deviation } => {
                    vector("mean", mean);
                    vector("deviation", deviation);
                }
                FittedStep::Pca { centre, components, .. } => {
                    vector("centre", centre);
                    put(step_name(position, "components"), components.shape().to_vec(), components.iter().copied().collect());
                }
                _ => {}
            }
        }
        put("inputs.fallback".into(), vec![self.inputs.fallback.len()], self.inputs.fallback.clone());
        put("domain.mean".into(), vec![self.domain.mean.len()], self.domain.mean.clone());
        put("domain.factor".into(), self.domain.factor.shape().to_vec(), self.domain.factor.iter().copied().collect());
        Ok(tensors)
    }

    fn weight_bytes(&self) -> Result<Vec<u8>> {
        let failed = |error: safetensors::SafeTensorError| Error::output(WEIGHTS_FILE).found(error.to_string());
        let tensors = self.tensors()?.into_iter();
        let entries: Vec<_> = tensors.map(|(name, (shape, values))| file::of_floats(name, shape, values)).collect();
        file::bytes(&entries, None).map_err(failed)
    }

    /// SHA-256 over everything that decides a prediction; the card does not enter.
    ///
    /// # Errors
    /// When the model cannot be described.
    pub fn hash(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(toml_of(&self.description(ModelCard::default())?)?);
        hash.update(self.weight_bytes()?);
        Ok(hexadecimal(hash))
    }

    /// Writes the model directory, first under a temporary name beside it.
    ///
    /// # Errors
    /// When it exists and `overwrite` is not set, or a file cannot be written.
    pub fn save(&self, directory: &Path, overwrite: bool) -> Result<()> {
        write_directory_atomically(directory, overwrite, &MODEL_FOLDER, |folder| {
            let log = serde_json::to_string_pretty(&self.log)
                .map_err(|error| Error::output(TRAINING_FILE).found(error.to_string()).source(error))?;
            write_member(&folder.join(DESCRIPTION_FILE), toml_of(&self.description(self.card.clone())?)?)?;
            write_member(&folder.join(WEIGHTS_FILE), self.weight_bytes()?)?;
            write_member(&folder.join(TRAINING_FILE), log)?;
            write_member(&folder.join(COMPARISON_FILE), self.log.comparison.to_string())
        })
    }

    /// Reads a model directory.
    ///
    /// # Errors
    /// When a file is missing or damaged, of another format, or what belongs together does not fit.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(DESCRIPTION_FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| Error::reading(&path, error).of_kind(ErrorKind::Model))?;
        let description: Description =
            read_toml(&text).map_err(|found| fault(path.display().to_string(), found, "a description of a regression"))?;
        let weights = directory.join(WEIGHTS_FILE);
        let model = Self::described(description, &weights);
        let mut model = model.map_err(|error| error.within(path.display()).of_kind(ErrorKind::Model))?;
        let path = directory.join(TRAINING_FILE);
        if let Ok(text) = std::fs::read_to_string(&path) {
            model.log = serde_json::from_str(&text).map_err(|error| {
                fault(path.display().to_string(), error.to_string(), "the history of a training").source(error)
            })?;
        }
        Ok(model)
    }

    fn described(found: Description, weights_file: &Path) -> Result<Self> {
        let format = format_of(&found.target);
        if (found.format, found.kind.as_str()) != (format, KIND) {
            return Err(fault("format, kind", format!("{}, '{}'", found.format, found.kind), format!("{format}, '{KIND}'")));
        }
        check(&found)?;
        let grid = found.grid;
        let n_weights = found.network.n_parameters()?.saturating_mul(found.members);
        if !(1..=MOST_WEIGHTS).contains(&n_weights) {
            return Err(fault("members and layers", format!("{n_weights} weights"), format!("from 1 to {MOST_WEIGHTS}")));
        }
        let tensors = read_tensors(weights_file)?;
        // Before any memory is taken for them.
        let held: usize = tensors.values().map(|(_, values)| values.len()).sum();
        if n_weights > held {
            return Err(fault("members and layers", format!("{n_weights} weights"), format!("the {held} numbers of the file")));
        }
        let mut taken = Taken { tensors, place: weights_file.display().to_string() };
        let mut width = grid.len();
        let mut steps = Vec::new();
        for (position, step) in found.inputs.steps.iter().enumerate() {
            let mut vector = |part: &str| taken.take(&step_name(position, part), &[width]);
            let (fitted, next) = match step {
                Step::DivideByMedian => (FittedStep::DivideByMedian, width),
                Step::SubtractMean => (FittedStep::SubtractMean, width),
                Step::SignedLogarithm => (FittedStep::SignedLogarithm, width),
                Step::UnitNorm => (FittedStep::UnitNorm, width),
                Step::Asinh { .. } => {
                    (FittedStep::Asinh { softening: taken.scales(&step_name(position, "softening"), width)? }, width)
                }
                Step::ReplaceOutside { minimum, maximum, value } => {
                    (FittedStep::ReplaceOutside { minimum: *minimum, maximum: *maximum, value: *value }, width)
                }
                Step::RelativeTo { entry } => match grid.names.iter().position(|name| name == entry) {
                    Some(position) if position < width => (FittedStep::RelativeTo { position }, width),
                    _ => return Err(fault("inputs, relative_to", format!("'{entry}'"), "an entry of the grid")),
                },
                Step::Standardise => {
                    let mean = vector("mean")?;
                    (FittedStep::Standardise { mean, deviation: taken.scales(&step_name(position, "deviation"), width)? }, width)
                }
                Step::Pca { components, .. } => {
                    let centre = vector("centre")?;
                    let values = taken.take(&step_name(position, "components"), &[*components, width])?;
                    let matrix = Array2::from_shape_vec((*components, width), values)
                        .map_err(|error| fault("components", error.to_string(), "[K, W]"))?;
                    (FittedStep::of_components(centre, matrix), *components)
                }
            };
            steps.push(fitted);
            width = next;
        }
        let fallback = taken.take("inputs.fallback", &[width])?;
        let inputs =
            Inputs { recipe: found.inputs, grid, steps, fallback, further: found.further_inputs, untrained: found.untrained };
        if inputs.len() != found.network.inputs {
            return Err(fault("inputs of the network", found.network.inputs.to_string(), inputs.len().to_string()));
        }
        let d = inputs.n_continuous();
        let factor = Array2::from_shape_vec((d, d), taken.take("domain.factor", &[d, d])?)
            .map_err(|error| fault("domain", error.to_string(), "[D, D]"))?;
        let leftover = found.domain_leftover.map(|[typical, limit]| LeftoverLimit { typical, limit });
        let (threshold, flux) = (found.domain_threshold, found.domain_flux);
        let domain = Domain { mean: taken.take("domain.mean", &[d])?, factor, threshold, leftover, flux };
        let specifications = found.network.specifications(0)?;
        let host = Device::cpu();
        let mut members = Vec::new();
        for member in 0..found.members {
            let mut weights = Weights::new(&specifications, &host)?;
            for specification in &specifications {
                let name = member_name(member, &specification.name, &found.network.name);
                let values: Vec<f64> = taken.take(&name, &specification.shape)?.into_iter().map(f64::from).collect();
                weights.set(&specification.name, &values, &host)?;
            }
            members.push(weights);
        }
        taken.finish()?;
        let mut model = Self {
            inputs,
            flux_unit: found.flux_unit,
            units: found.units,
            offsets: found.offsets,
            fractional_error: found.fractional_error,
            target: found.target,
            scaling: found.scaling,
            predictors: members.iter().map(|weights| Predictor::new(&found.network, weights)).collect::<Result<_>>()?,
            network: found.network,
            members,
            copies: found.copies,
            seed: found.seed,
            calibration: found.calibration,
            domain,
            training_range: found.training_range,
            card: found.card,
            log: TrainingLog::default(),
            sha256: String::new(),
        };
        model.sha256 = model.hash()?;
        Ok(model)
    }
}

/// `network.layer_0.weight` of a member as files name it.
fn member_name(member: usize, tensor: &str, network: &str) -> String {
    let tensor = tensor.strip_prefix(network).unwrap_or(tensor);
    format!("member_{member}{tensor}")
}

fn step_name(position: usize, part: &str) -> String {
    format!("inputs.step_{position}.{part}")
}

fn toml_of(description: &Description) -> Result<String> {
    toml::to_string(description).map_err(|error| Error::output(DESCRIPTION_FILE).found(error.to_string()).source(error))
}

fn read_tensors(path: &Path) -> Result<Tensors> {
    let bytes = std::fs::read(path).map_err(|error| Error::reading(path, error))?;
    let place = path.display().to_string();
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|error| fault(&place, error.to_string(), "a whole safetensors file"))?;
    tensors
        .iter()
        .map(|(name, view)| {
            let place = || format!("{place}, tensor '{name}'");
            if view.dtype() != Dtype::F32 {
                return Err(fault(place(), format!("{:?}", view.dtype()), "32-bit floats"));
            }
            // A tensor without numbers may claim any other size.
            if view.shape().contains(&0) {
                return Err(fault(place(), format!("shape {:?}", view.shape()), "no axis of length 0"));
            }
            let (chunks, _) = view.data().as_chunks::<4>();
            let values: Vec<f32> = chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(fault(place(), value.to_string(), "finite numbers"));
            }
            Ok((name.to_owned(), (view.shape().to_vec(), values)))
        })
        .collect()
}

/// Tensors that are taken one by one.
struct Taken {
    tensors: Tensors,
    place: String,
}

impl Taken {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let place = || format!("{}, tensor '{name}'", self.place);
        match self.tensors.remove(name) {
            Some((found, values)) if found == shape => Ok(values),
            Some((found, _)) => Err(fault(place(), format!("shape {found:?}"), format!("{shape:?}"))),
            None => Err(fault(place(), "none of that name", format!("shape {shape:?}"))),
        }
    }

    /// Positive numbers, which divide.
    fn scales(&mut self, name: &str, width: usize) -> Result<Vec<f32>> {
        let values = self.take(name, &[width])?;
        match values.iter().find(|value| **value <= 0.0) {
            None => Ok(values),
            Some(value) => Err(fault(format!("{}, tensor '{name}'", self.place), value.to_string(), "positive numbers")),
        }
    }

    fn finish(self) -> Result<()> {
        match self.tensors.into_keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(fault(format!("{}, tensor '{name}'", self.place), "a tensor that nothing uses", "those of model.toml"))
            }
        }
    }
}
