//! What packages, trainings and catalogues need of a family of models of spectra. A family is a way from
//! labels to the flux of every pixel, with its derivatives by the labels ([`PixelModel`]), that is saved as
//! named tensors and learned from spectra with labels and a gradient library ([`TrainingSet`]). All else is
//! the same for all of them: folders, recipes, fits, flags, the cheat test.

use super::on_device::TensorModel;
use crate::error::Result;
use crate::package::TrainingContext;
use crate::per_pixel::PixelModel;
use crate::per_pixel::train::{Training, TrainingSet};
use crate::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

/// Windows of labels, from one wavelength to another (Å).
pub type WindowsOf = BTreeMap<String, Vec<[f64; 2]>>;

/// A family of models of spectra.
pub trait SpectralModel: Debug + Clone + Send + Sync + 'static {
    /// The `kind` of its recipes and packages.
    const KIND: &'static str;

    /// What it is called in messages.
    const NAME: &'static str;

    /// The file of its tensors in the folder of a package.
    const FILE: &'static str;

    /// How it is trained.
    type Choices: TrainingChoices;

    /// What evaluates it.
    fn engine(&self) -> Arc<dyn PixelModel>;

    /// The model as tensors on a device; none of families that are evaluated on the processor only.
    fn on_device(&self, _device: &Device) -> Option<Box<dyn TensorModel>> {
        None
    }

    /// Writes its tensors.
    ///
    /// # Errors
    /// When the file exists and `overwrite` is false, or cannot be written.
    fn write(&self, path: &Path, overwrite: bool) -> Result<()>;

    /// Reads its tensors.
    ///
    /// # Errors
    /// When the file is damaged, lacks a tensor, or shapes contradict each other.
    fn read(path: &Path) -> Result<Self>;

    /// Adds all that decides a flux to a hash.
    fn digest(&self, hash: &mut Sha256);

    /// Its shape for people: what it is the shape of, and the shape.
    fn shape(&self) -> (&'static str, String);

    /// Its shape for programs.
    fn summary(&self) -> Map<String, Value>;

    /// Learns from a set; takes up a checkpoint where there is one. The result does not depend on threads,
    /// nor on interruptions.
    ///
    /// # Errors
    /// When the set contradicts itself, a choice is impossible, the training fails, or it is told to end.
    fn train(set: &TrainingSet, choices: &Self::Choices, context: &TrainingContext<'_>) -> Result<Training<Self>>;

    /// What a family takes for granted that a set does not grant: warnings of the training, and of the
    /// package for good.
    fn doubts(_set: &TrainingSet) -> Vec<String> {
        Vec::new()
    }

    /// What the training is worth beside another family, by name, for the card. Tells the report that it is
    /// at work.
    ///
    /// # Errors
    /// When the other one cannot be trained, or it is told to end.
    fn compared(
        _set: &TrainingSet,
        _choices: &Self::Choices,
        _trained: &Training<Self>,
        _context: &TrainingContext<'_>,
    ) -> Result<Vec<(&'static str, f64)>> {
        Ok(Vec::new())
    }
}

/// The part of a recipe that a family has for itself.
pub trait TrainingChoices: Debug + Clone + PartialEq + Default + Serialize + DeserializeOwned + Send + Sync {
    /// Checks every choice.
    ///
    /// # Errors
    /// `Usage`, naming the choice and its range.
    fn validate(&self) -> Result<()>;

    /// Whether a training draws anything.
    const HAS_SEED: bool = true;

    /// Draws by another seed.
    fn set_seed(&mut self, seed: u64);

    /// Numbers that the spectra have to fix at every pixel, for a model in these labels.
    fn n_parameters(&self, labels: &[String]) -> usize;

    /// Windows (Å) of labels that act on the pixels within them alone.
    fn windows_of(&self) -> WindowsOf {
        WindowsOf::new()
    }
}
