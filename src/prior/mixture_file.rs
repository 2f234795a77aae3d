//! The mixture as the content of a model's `prior.toml`.

use super::GaussianMixture;
use crate::error::{Error, Result};
use crate::text::read_toml;
use serde::{Deserialize, Serialize};

/// Version of the file's layout.
const FORMAT: u32 = 1;

/// `prior.toml`: `K` components over `n` parameters, covariances row by row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    parameters: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ln_density_threshold: Option<f64>,
    components: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    weight: f64,
    mean: Vec<f64>,
    covariance: Vec<Vec<f64>>,
}

impl GaussianMixture {
    /// The content of `prior.toml`; [`Self::from_toml`] gives back the same numbers to the last bit.
    ///
    /// # Errors
    /// `Model` where the content cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String> {
        let n = self.parameters.len();
        let components = self.components.iter().map(|component| Entry {
            weight: component.weight,
            mean: component.mean.clone(),
            covariance: component.covariance.chunks(n).map(<[f64]>::to_vec).collect(),
        });
        let document = Document {
            format: FORMAT,
            parameters: self.parameters.clone(),
            ln_density_threshold: self.ln_density_threshold,
            components: components.collect(),
        };
        toml::to_string(&document)
            .map_err(|error| Error::model("mixture prior").found(error.to_string()).expected("TOML").source(error))
    }

    /// Reads the content of `prior.toml`.
    ///
    /// # Errors
    /// `Model`: another format version, unknown or missing keys, and everything that [`Self::new`] refuses.
    pub fn from_toml(content: &str) -> Result<Self> {
        let document: Document = read_toml(content).map_err(|fault| {
            Error::model("prior.toml")
                .found(fault)
                .expected("a mixture of Gaussians")
                .remedy("Correct it, or train or export the model again.")
        })?;
        if document.format != FORMAT {
            return Err(Error::model("prior.toml, format")
                .found(document.format.to_string())
                .expected(FORMAT.to_string())
                .remedy("Use the version of the program that wrote the model, or train again."));
        }
        let n = document.parameters.len();
        if let Some((k, row)) = document
            .components
            .iter()
            .enumerate()
            .find_map(|(k, entry)| entry.covariance.iter().find(|row| row.len() != n).map(|row| (k, row.len())))
        {
            return Err(Error::model(format!("prior.toml, component {k}, covariance"))
                .found(format!("a row of {row} numbers"))
                .expected(format!("{n}, one a parameter"))
                .remedy("Correct it, or train or export the model again."));
        }
        let weights: Vec<f64> = document.components.iter().map(|entry| entry.weight).collect();
        let means: Vec<Vec<f64>> = document.components.iter().map(|entry| entry.mean.clone()).collect();
        let covariances: Vec<Vec<f64>> = document.components.iter().map(|entry| entry.covariance.concat()).collect();
        let mut mixture =
            Self::new(document.parameters, &weights, &means, &covariances).map_err(|error| error.within("prior.toml"))?;
        if let Some(threshold) = document.ln_density_threshold.filter(|threshold| !threshold.is_finite()) {
            return Err(Error::model("prior.toml, ln_density_threshold")
                .found(threshold.to_string())
                .expected("a finite number")
                .remedy("Correct it, or leave it out: no star is then flagged as unlike the training sample."));
        }
        mixture.ln_density_threshold = document.ln_density_threshold;
        Ok(mixture)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mixture::tests::example;
    use super::*;

    #[test]
    fn comes_back_bit_for_bit() {
        let mut mixture = example();
        mixture.set_ln_density_threshold(0.1, 1000, 1);
        assert_eq!(GaussianMixture::from_toml(&mixture.to_toml().unwrap()).unwrap(), mixture);
    }

    #[test]
    fn damaged_content_is_refused_with_the_place() {
        let content = example().to_toml().unwrap();
        let refused = |from: &str, to: &str| {
            let damaged = content.replacen(from, to, 1);
            assert_ne!(damaged, content, "{from}");
            GaussianMixture::from_toml(&damaged).unwrap_err().to_string()
        };
        assert!(refused("format = 1", "format = 2").starts_with("prior.toml, format: found 2, expected 1."));
        assert!(refused("weight = 0.6", "weight = 0.5").starts_with("prior.toml, mixture prior, weights: found the sum 0.9"));
        assert!(refused("weight = 0.6", "heaviness = 0.6").contains("heaviness"));
        assert!(refused("[0.5, 0.05, -0.06]", "[0.5, 0.05]").contains("component 0, covariance: found a row of 2 numbers"));
        assert!(refused("[0.5, 0.05, -0.06]", "[0.5, 0.06, -0.06]").contains("elements (1, 0) and (0, 1)"));
        assert!(refused("[0.5, 0.05, -0.06]", "[nan, 0.05, -0.06]").contains("3×3 finite numbers"));
        assert!(refused("mean = [5.5, -0.2, 4.3]", "mean = [5.5]").contains("component 0, mean"));
    }
}
