//! What a program of the command line knows beyond its commands: effects and kinds of models.

use super::settings::Settings;
use super::training_task::{Trainer, trainer, warn_of_changed_files};
use crate::error::Result;
use crate::model::Registry;
use crate::package::{Kind, Kinds, Package, Trainable};
use crate::pixel_networks::{JointPackage, PixelPackage, PolynomialPackage};
use crate::regress::RegressionModel;
use crate::train::TrainedModel;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Effects and kinds of models that commands may meet. A program of its own adds to them, and has every
/// command.
#[derive(Clone)]
pub struct Program {
    /// Effects of forward models.
    pub effects: Registry,
    /// Kinds of packages.
    pub kinds: Kinds,
    /// Those that recipes train, by their names.
    pub(super) trainers: BTreeMap<&'static str, Trainer>,
}

impl Program {
    /// What photosphere brings.
    pub fn standard() -> Self {
        let none = Self { effects: Registry::standard(), kinds: Kinds::default(), trainers: BTreeMap::new() };
        none.with_trained_kind::<TrainedModel>()
            .with_trained_kind::<PixelPackage>()
            .with_trained_kind::<PolynomialPackage>()
            .with_trained_kind::<JointPackage>()
            .with_trained_kind::<RegressionModel>()
    }

    /// The same with one more kind of model.
    pub fn with_kind<K: Kind>(self) -> Self {
        Self { kinds: self.kinds.with::<K>(), ..self }
    }

    /// The same with one more kind of model, which `train` trains by recipes that say `kind = "…"`.
    pub fn with_trained_kind<K: Trainable>(mut self) -> Self {
        self.trainers.insert(K::KIND, trainer::<K>());
        self.with_kind::<K>()
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::standard()
    }
}

impl From<Registry> for Program {
    fn from(effects: Registry) -> Self {
        Self { effects, ..Self::standard() }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Program").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

impl Settings {
    /// The package in a folder, on the device of the options.
    ///
    /// # Errors
    /// As [`Kinds::load`], and when the device is absent.
    pub fn package(&self, directory: &Path) -> Result<Arc<dyn Package>> {
        let package = self.program.kinds.load(directory, &self.program.effects, &self.device()?)?;
        warn_of_changed_files(directory);
        Ok(package)
    }
}
