//! A model on disk: a directory with `model.toml`, `weights.safetensors` and, beside them, what other rooms
//! add (`prior.toml`).

use super::calibration::Calibration;
use super::check::{check_grid, check_model_error, check_tensors, checked_parameters};
use super::forward::ForwardModel;
use super::parameter::ParameterSpace;
use super::registry::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::observations::Grid;
use crate::quantity::FLUX_UNIT;
use crate::table::write_member;
use crate::tensor::Device;
use crate::tensor::file;
use crate::text::hexadecimal;
use crate::text::{fault_in_toml, read_toml};
use crate::unit;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Version of the directory's layout that is written: 2 states the unit of the flux, which is [`FLUX_UNIT`]
/// in 1. Both are read; another version is refused by name.
pub const FORMAT: u32 = 2;
/// The first version.
const FIRST_FORMAT: u32 = 1;

/// What the directory holds.
const KIND: &str = "forward_model";

const DESCRIPTION_FILE: &str = "model.toml";
const WEIGHTS_FILE: &str = "weights.safetensors";

/// What a user should know of a model before using it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelCard {
    /// One line.
    pub description: String,
    /// Where the training data come from, how many rows, and their SHA-256.
    pub data: String,
    pub n_training: usize,
    pub n_validation: usize,
    pub data_sha256: String,
    /// What it must not be used for.
    pub limits: String,
    pub licence: String,
    pub citation: String,
    /// Program version that trained it.
    pub program: String,
    /// Seed of the training.
    pub seed: u64,
    /// Measured figures by name.
    pub metrics: BTreeMap<String, f64>,
    /// The recipe, as TOML text.
    pub recipe: String,
    /// What the training warned of: see before trusting the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Where it stands for several trainings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<EnsembleCard>,
}

/// Several trainings that differ in their seeds, of which one predicts and all make the errors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleCard {
    /// How far the zero points of the model lie from those of the mean of all seeds, by parameter: standard
    /// deviations in file units, of the distance parameter as a fraction.
    pub spread: BTreeMap<String, f64>,
    /// The part of it that stars of a kind share.
    pub shared_spread: BTreeMap<String, f64>,
    /// Stars, none of them trained on, that tell the spread.
    pub n_stars: usize,
    /// Stars that do not: a member has put them into another optimum than their like.
    pub n_outliers: usize,
    #[serde(rename = "member")]
    pub members: Vec<EnsembleMember>,
}

/// One of several trainings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleMember {
    pub seed: u64,
    pub sha256: String,
    /// Whether the fluxes of the model are those of this one.
    pub predicts: bool,
    /// Mean squared distance from the mean of all in the fluxes.
    pub distance: f64,
    /// Its measured figures by name.
    pub metrics: BTreeMap<String, f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    kind: String,
    /// Of format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flux_unit: Option<String>,
    grid: Grid,
    model_error: Vec<f64>,
    effect: Vec<toml::Table>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<Calibration>,
    parameter: ParameterSpace,
    /// Shape of every tensor in `weights.safetensors`.
    tensors: BTreeMap<String, Vec<usize>>,
    card: ModelCard,
}

impl ForwardModel {
    /// Writes `model.toml` and `weights.safetensors` (32-bit floats) into the existing folder `directory`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, directory: &Path, card: &ModelCard) -> Result<()> {
        let description = Description { format: FORMAT, flux_unit: Some(self.flux_unit.clone()), ..self.description(card)? };
        let text = toml::to_string(&description)
            .map_err(|error| Error::output(DESCRIPTION_FILE).found(error.to_string()).source(error))?;
        for (name, bytes) in [(DESCRIPTION_FILE, text.into_bytes()), (WEIGHTS_FILE, self.weight_bytes()?)] {
            let path = directory.join(name);
            write_member(&path, bytes)?;
        }
        Ok(())
    }

    /// Reads a model directory.
    ///
    /// # Errors
    /// When a file is missing or unreadable, the format is of another version, an effect is not in the
    /// registry, or a tensor is missing, extra, of another shape or not finite.
    pub fn load(directory: &Path, registry: &Registry, device: &Device) -> Result<(Self, ModelCard)> {
        let path = directory.join(DESCRIPTION_FILE);
        let text = fs::read_to_string(&path).map_err(|error| {
            Error::model(path.display().to_string())
                .found(error.to_string())
                .expected("a model directory with model.toml and weights.safetensors")
                .remedy("Name the folder that `photosphere train` wrote.")
        })?;
        refuse_other_formats(&path, &text)?;
        let description: Description = read_toml(&text).map_err(|fault| {
            Error::model(path.display().to_string())
                .found(fault)
                .expected("a description of a model")
                .remedy("Correct it, or train or export the model again.")
        })?;
        let model = Self::described(description, registry, &directory.join(WEIGHTS_FILE), device);
        let (mut model, card) = model.map_err(|error| error.within(path.display()).of_kind(ErrorKind::Model))?;
        model.load_weights(&directory.join(WEIGHTS_FILE))?;
        Ok((model, card))
    }

    /// The model of a description that holds what belongs together, before the weights in `weights_file` are
    /// read.
    fn described(
        description: Description,
        registry: &Registry,
        weights_file: &Path,
        device: &Device,
    ) -> Result<(Self, ModelCard)> {
        if description.kind != KIND {
            return Err(Error::model("kind")
                .found(format!("'{}'", description.kind))
                .expected(format!("'{KIND}'"))
                .remedy("Name a model directory of this program."));
        }
        check_grid(&description.grid)?;
        check_model_error(&description.model_error, description.grid.len())?;
        let flux_unit = flux_unit(&description)?;
        let mut model = Self::new(registry, &description.effect, description.grid, 0, device)?;
        let space = checked_parameters(description.parameter, &model.space)?;
        check_tensors(&description.tensors, &model.weights, weights_file)?;
        model.flux_unit = flux_unit;
        model.space = space;
        model.model_error = description.model_error;
        if let Some(calibration) = &description.calibration {
            calibration.validate(&model.space)?;
        }
        model.calibration = description.calibration;
        Ok((model, description.card))
    }

    /// SHA-256 over everything that decides a prediction: grid, effects, standardisation, the model's errors
    /// and weights, its unit of flux, and the text of the prior that belongs to the model. Dates, metrics and
    /// names of files do not enter, nor does the format.
    pub fn sha256(&self, prior: &str) -> Result<String> {
        let description = self.description(&ModelCard::default())?;
        let text = toml::to_string(&description)
            .map_err(|error| Error::output("model description").found(error.to_string()).source(error))?;
        let mut hash = Sha256::new();
        hash.update(text.as_bytes());
        hash.update(self.weight_bytes()?);
        hash.update(prior.as_bytes());
        Ok(hexadecimal(hash))
    }

    /// In the first format that can say it, so that a model's hash does not change when it is written anew.
    fn description(&self, card: &ModelCard) -> Result<Description> {
        let is_first = self.flux_unit == FLUX_UNIT;
        let shape = |name: &String| Ok((name.clone(), self.weights.shape(name)?.to_vec()));
        Ok(Description {
            format: if is_first { FIRST_FORMAT } else { FORMAT },
            kind: KIND.into(),
            flux_unit: (!is_first).then(|| self.flux_unit.clone()),
            grid: self.grid.clone(),
            model_error: self.model_error.clone(),
            calibration: self.calibration.clone(),
            effect: self.effects.iter().map(|effect| effect.to_toml()).collect::<Result<_>>()?,
            parameter: self.space.clone(),
            tensors: self.weights.names().iter().map(shape).collect::<Result<_>>()?,
            card: card.clone(),
        })
    }

    fn weight_bytes(&self) -> Result<Vec<u8>> {
        let failed = |error: safetensors::SafeTensorError| Error::output(WEIGHTS_FILE).found(error.to_string());
        let entry = |name: &String| {
            let values = self.weights.values(name)?.into_iter().map(|value| value as f32);
            Ok(file::of_floats(name.clone(), self.weights.shape(name)?.to_vec(), values))
        };
        file::bytes(&self.weights.names().iter().map(entry).collect::<Result<Vec<_>>>()?, None).map_err(failed)
    }

    fn load_weights(&mut self, path: &Path) -> Result<()> {
        let bytes = fs::read(path).map_err(|error| Error::reading(path, error))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
            Error::model(path.display().to_string())
                .found(error.to_string())
                .expected("a complete safetensors file")
                .remedy("Get the file again, or train or export the model again.")
        })?;
        let device = self.device().clone();
        for name in self.weights.names().to_vec() {
            let place = format!("{}, tensor '{name}'", path.display());
            let view = tensors.tensor(&name).map_err(|_| {
                Error::model(&place).found("no such tensor").expected("it").remedy("Train or export the model again.")
            })?;
            let expected = self.weights.shape(&name)?.to_vec();
            if view.dtype() != Dtype::F32 || view.shape() != expected {
                return Err(Error::model(place)
                    .found(format!("{:?} {:?}", view.dtype(), view.shape()))
                    .expected(format!("F32 {expected:?}"))
                    .remedy("Export the weights with the shapes that model.toml lists."));
            }
            let (chunks, _) = view.data().as_chunks::<4>();
            let values: Vec<f64> = chunks.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::model(place)
                    .found("NaN or infinity")
                    .expected("finite weights")
                    .remedy("Train again, with a smaller learning rate if the training diverged."));
            }
            self.weights.set(&name, &values, &device)?;
        }
        match tensors.names().into_iter().find(|name| !self.weights.names().iter().any(|known| known == name)) {
            None => Ok(()),
            Some(extra) => Err(Error::model(format!("{}, tensor '{extra}'", path.display()))
                .found("a tensor that no effect of model.toml uses")
                .expected(format!("only {}", self.weights.names().join(", ")))
                .remedy("Remove it, or use the model.toml that belongs to these weights.")),
        }
    }
}

/// The unit of flux that a description states, in this program's spelling where it is that unit.
fn flux_unit(description: &Description) -> Result<String> {
    let fault = |found: String, expected: String| {
        Err(Error::model("flux_unit")
            .found(found)
            .expected(expected)
            .remedy("Use the model as `photosphere train` wrote it, or correct the unit."))
    };
    match (&description.flux_unit, description.format) {
        (None, FIRST_FORMAT) => Ok(FLUX_UNIT.into()),
        (Some(text), FIRST_FORMAT) => fault(format!("'{text}' in format {FIRST_FORMAT}"), format!("format {FORMAT}")),
        (None, format) => fault(format!("none in format {format}"), format!("a unit such as {FLUX_UNIT}")),
        (Some(text), _) => match unit::parse(text) {
            Ok(_) if unit::conversion(text, FLUX_UNIT).is_some_and(|way| way.is_identity()) => Ok(FLUX_UNIT.into()),
            Ok(unit) if unit.scale == unit::Scale::Linear => Ok(text.clone()),
            Ok(_) => fault(format!("'{text}', no linear unit"), format!("a unit such as {FLUX_UNIT}")),
            Err(error) => fault(format!("'{text}' ({error})"), format!("a unit such as {FLUX_UNIT}")),
        },
    }
}

fn refuse_other_formats(path: &Path, text: &str) -> Result<()> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Error::model(path.display().to_string())
            .found(fault_in_toml(text, &error))
            .expected("TOML")
            .remedy("Correct it, or get the file again.")
    })?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(format) if (i64::from(FIRST_FORMAT)..=i64::from(FORMAT)).contains(&format) => Ok(()),
        other => Err(Error::model(path.display().to_string())
            .found(other.map_or("no format number".into(), |format| format!("format {format}")))
            .expected(format!("format {FIRST_FORMAT} or {FORMAT}"))
            .remedy("Use the version of photosphere that wrote it, or train it again.")),
    }
}
