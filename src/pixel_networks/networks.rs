//! Networks per pixel as a family of models of spectra: checkpoints by the pixel, and the polynomial as their
//! oracle.

use super::on_device::{TensorModel, TensorNetworks};
use super::pixel_checkpoints::PixelCheckpoints;
use super::spectral_model::{SpectralModel, TrainingChoices, WindowsOf};
use crate::error::Result;
use crate::package::TrainingContext;
use crate::per_pixel::polynomial::train_polynomials_at;
use crate::per_pixel::train::{PixelResult, Training, TrainingOptions, TrainingSet, train};
use crate::per_pixel::{NetworkEngine, PixelModel, PixelNetworks, PolynomialOptions};
use crate::tensor::Device;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// Terms beyond which polynomials take longer than the networks that they are to judge.
const MOST_TERMS_OF_ORACLE: usize = 1200;
/// Fraction by which the χ² of validation may exceed that of the polynomials without a warning.
const WORSE: f64 = 0.02;

impl SpectralModel for PixelNetworks {
    const KIND: &'static str = "pixel_networks";
    const NAME: &'static str = "pixel networks";
    const FILE: &'static str = "networks.safetensors";

    type Choices = TrainingOptions;

    fn engine(&self) -> Arc<dyn PixelModel> {
        Arc::new(NetworkEngine::new(self))
    }

    fn on_device(&self, device: &Device) -> Option<Box<dyn TensorModel>> {
        Some(Box::new(TensorNetworks::new(self, device)))
    }

    fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        self.write(path, overwrite)
    }

    fn read(path: &Path) -> Result<Self> {
        Self::read(path)
    }

    fn digest(&self, hash: &mut Sha256) {
        hash.update(format!("{:?} {:?} {:?}", self.architecture, self.space, self.wavelength));
        self.parameters.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }

    fn shape(&self) -> (&'static str, String) {
        let architecture = &self.architecture;
        ("network of a pixel", format!("{:?} neurons, {}", &architecture.widths[1..], architecture.activation.name()))
    }

    fn summary(&self) -> Map<String, Value> {
        let hidden = json!(&self.architecture.widths[1..]);
        Map::from_iter([("hidden".into(), hidden), ("activation".into(), json!(self.architecture.activation.name()))])
    }

    fn train(set: &TrainingSet, choices: &TrainingOptions, context: &TrainingContext<'_>) -> Result<Training<Self>> {
        let checkpoints = PixelCheckpoints::new(context, set.wavelength.len())?;
        train(set, choices, &checkpoints.finished, &|place, result| checkpoints.done(place, result))
    }

    /// The structured polynomial of the same gradient term on some of the pixels, spread evenly: linear
    /// equations have one solution, so that networks that are worse were not trained well.
    fn compared(
        set: &TrainingSet,
        choices: &TrainingOptions,
        trained: &Training<Self>,
        context: &TrainingContext<'_>,
    ) -> Result<Vec<(&'static str, f64)>> {
        let options = PolynomialOptions {
            regularisation: choices.regularisation,
            relative_regularisation: choices.relative_regularisation,
            regularisation_of: choices.regularisation_of.clone(),
            label_alternations: 0,
            ..PolynomialOptions::default()
        };
        let is_possible = options.terms(&set.space.names).is_ok_and(|terms| terms.len() <= MOST_TERMS_OF_ORACLE);
        // Polynomials have no windows: they would be of another model.
        if choices.oracle_pixels == 0 || !choices.windows_of.is_empty() || !is_possible {
            return Ok(Vec::new());
        }
        // Those without spectra have nothing to compare.
        let all: Vec<usize> = (0..set.wavelength.len()).filter(|&pixel| set.has_spectra(pixel)).collect();
        let n = choices.oracle_pixels.min(all.len());
        let pixels: Vec<usize> = (0..n).map(|i| all[(2 * i + 1) * all.len() / (2 * n)]).collect();
        let goes_on = |_, _: &PixelResult| (context.report)(1.0, "structured polynomials for comparison");
        let oracle = train_polynomials_at(set, &pixels, trained.freed.as_ref(), &options, &goes_on)?;
        let own: Vec<&PixelResult> = pixels.iter().map(|&pixel| &trained.pixels[pixel]).collect();
        let mean = |of: &dyn Fn(usize) -> f64| (0..n).map(of).sum::<f64>() / n as f64;
        let of = |value: fn(&PixelResult) -> f64| [mean(&|i| value(own[i])), mean(&|i| value(&oracle.pixels[i]))];
        let (validation, gradient) = (of(|pixel| pixel.kept.validation), of(|pixel| pixel.kept.gradient));
        let gradients = [("gradient term, some pixels", gradient[0]), ("gradient term, some pixels, polynomials", gradient[1])];
        tracing::info!("on {n} pixels: gradient term {:.4}, of structured polynomials {:.4}", gradient[0], gradient[1]);
        if set.validation.is_empty() {
            return Ok(gradients.to_vec());
        }
        tracing::info!("chi-square of validation there {:.4}, of structured polynomials {:.4}", validation[0], validation[1]);
        if validation[0] > (1.0 + WORSE) * validation[1] {
            tracing::warn!(
                "chi-square of validation is {:.4} where structured polynomials have {:.4}: \
                 train for longer, with more neurons, or train polynomials (kind = \"pixel_polynomials\")",
                validation[0],
                validation[1]
            );
        }
        let validations = [
            ("chi-square of validation, some pixels", validation[0]),
            ("chi-square of validation, some pixels, polynomials", validation[1]),
        ];
        Ok(validations.into_iter().chain(gradients).collect())
    }
}

impl TrainingChoices for TrainingOptions {
    fn validate(&self) -> Result<()> {
        self.validate()
    }

    fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    fn n_parameters(&self, labels: &[String]) -> usize {
        self.n_parameters(labels.len())
    }

    fn windows_of(&self) -> WindowsOf {
        self.windows_of.clone()
    }
}
