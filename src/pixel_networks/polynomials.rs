//! Polynomials per pixel as a family of models of spectra.

use super::pixel_checkpoints::PixelCheckpoints;
use super::spectral_model::{SpectralModel, TrainingChoices};
use crate::error::Result;
use crate::package::TrainingContext;
use crate::per_pixel::polynomial::train_polynomials;
use crate::per_pixel::train::{Training, TrainingSet};
use crate::per_pixel::{PixelModel, PixelPolynomials, PolynomialEngine, PolynomialOptions};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

impl SpectralModel for PixelPolynomials {
    const KIND: &'static str = "pixel_polynomials";
    const NAME: &'static str = "pixel polynomials";
    const FILE: &'static str = "polynomials.safetensors";

    type Choices = PolynomialOptions;

    fn engine(&self) -> Arc<dyn PixelModel> {
        Arc::new(PolynomialEngine::new(self))
    }

    fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        self.write(path, overwrite)
    }

    fn read(path: &Path) -> Result<Self> {
        Self::read(path)
    }

    fn digest(&self, hash: &mut Sha256) {
        hash.update(format!("{:?} {:?} {:?}", self.terms.powers(), self.space, self.wavelength));
        self.coefficients.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }

    fn shape(&self) -> (&'static str, String) {
        let degree = (0..self.terms.len()).map(|term| self.terms.degree(term)).max().unwrap_or_default();
        ("polynomial of a pixel", format!("{} terms, degree {degree}", self.terms.len()))
    }

    fn summary(&self) -> Map<String, Value> {
        Map::from_iter([("terms".into(), json!(self.terms.len()))])
    }

    fn train(set: &TrainingSet, choices: &PolynomialOptions, context: &TrainingContext<'_>) -> Result<Training<Self>> {
        let checkpoints = PixelCheckpoints::new(context, set.wavelength.len())?;
        train_polynomials(set, choices, &checkpoints.finished, &|place, result| checkpoints.done(place, result))
    }
}

impl TrainingChoices for PolynomialOptions {
    /// Linear equations have one solution.
    const HAS_SEED: bool = false;

    fn set_seed(&mut self, _seed: u64) {}

    fn validate(&self) -> Result<()> {
        self.validate()
    }

    fn n_parameters(&self, labels: &[String]) -> usize {
        self.terms(labels).map_or(0, |terms| terms.len())
    }
}
