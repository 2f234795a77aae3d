//! The classifiers as a file beside a model: JSON, whose numbers come back to the bit.

use super::classifier::{Classifiers, FORMAT};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::layers::{Network, Predictor};
use crate::tensor::{Device, Weights};
use std::path::Path;

/// Its name.
pub const CONFIDENCE_FILE: &str = "confidence.json";

impl Classifiers {
    /// The content of the file.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::output(CONFIDENCE_FILE).found(error.to_string()).source(error))
    }

    /// Those beside the model in a folder, if there are any.
    ///
    /// # Errors
    /// When the file is damaged, or what belongs together does not fit.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(CONFIDENCE_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| Error::reading(&path, error).of_kind(ErrorKind::Model))?;
        let written: Self = serde_json::from_str(&text).map_err(|error| {
            Error::model(path.display().to_string())
                .found(error.to_string())
                .expected("classifiers of confidences")
                .remedy("Get the file again, or make it anew with `photosphere confidence`.")
                .source(error)
        })?;
        written.checked().map(Some).map_err(|error| error.within(path.display()))
    }

    /// What was read, if it can predict.
    fn checked(self) -> Result<Self> {
        let fault = |key: &str, found: String, expected: &str| {
            let error = Error::model(key).found(found).expected(expected);
            Err(error.remedy("Get the file again, or make it anew with `photosphere confidence`."))
        };
        let Self { format, features, mean, deviation, unknown, labels, taught_with, .. } = self;
        if format != FORMAT {
            return fault("format", format.to_string(), &FORMAT.to_string());
        }
        if mean.len() != features.len() || deviation.len() != features.len() {
            return fault(
                "features",
                format!("{}, {}, {}", features.len(), mean.len(), deviation.len()),
                "lists of equal lengths",
            );
        }
        if let Some(bad) = mean.iter().find(|x| !x.is_finite()).or(deviation.iter().find(|x| !(**x > 0.0 && x.is_finite()))) {
            return fault("mean, deviation", bad.to_string(), "numbers, deviations above zero");
        }
        if !(unknown.is_empty() || unknown.len() == features.len()) || unknown.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return fault("unknown", format!("{} numbers", unknown.len()), "a share from 0 to 1 of every feature");
        }
        let mut classifiers = Self::new(features, mean, deviation);
        classifiers.unknown = unknown;
        classifiers.taught_with = taught_with;
        for one in labels {
            let n: usize = one.weights.iter().map(|(_, values)| values.len()).sum();
            // Before any memory is taken for them.
            if one.network.inputs != classifiers.features.len()
                || one.network.n_parameters()? != n
                || one.network.n_outputs()? != 1
            {
                return fault(
                    &format!("network of '{}'", one.label),
                    format!("{n} weights"),
                    "a network from the features to one number",
                );
            }
            let numbers = one.weights.iter().flat_map(|(_, values)| values.iter().map(|value| f64::from(*value)));
            if let Some(bad) = numbers.chain([one.slope, one.offset, one.floor]).find(|value| !value.is_finite()) {
                return fault(&format!("'{}'", one.label), bad.to_string(), "finite numbers");
            }
            let predictor = predictor(&one.network, &one.weights)?;
            classifiers.push(one, predictor);
        }
        Ok(classifiers)
    }
}

/// A network with weights by name, as it predicts.
///
/// # Errors
/// When a weight is missing or of another length.
pub(super) fn predictor(network: &Network, weights: &[(String, Vec<f32>)]) -> Result<Predictor> {
    let host = Device::cpu();
    let mut all = Weights::new(&network.specifications(0)?, &host)?;
    for name in all.names().to_vec() {
        let Some((_, values)) = weights.iter().find(|(other, _)| *other == name) else {
            return Err(Error::model(format!("tensor '{name}'")).found("none").expected("the weights of the network"));
        };
        all.set(&name, &values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>(), &host)?;
    }
    Predictor::new(network, &all)
}
