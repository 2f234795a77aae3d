//! Configuration of simulated spectra and of the gradient library of their lines.

use super::lines::{FIRST_RATIO, LABELS, LineList, N_LABELS};
use super::population::References;
use crate::error::{Error, Result};
use crate::per_pixel::canonical_name;
use crate::simulate::SurveyConfig;
use crate::spectrum::FWHM_OF_SIGMA;
use serde::{Deserialize, Serialize};

/// Most Å that are simulated: some 300 000 lines.
const MOST_ANGSTROM: f64 = 1e5;
/// Most values of the profiles of all lines (8 bytes each).
const MOST_VALUES: f64 = 2.5e8;
/// Most stars whose abundances are permuted, which takes the labels of all of them at once.
const MOST_PERMUTED: usize = 10_000_000;
/// Most values of a library's gradients (4 bytes each, and as much again while they are made).
const MOST_GRADIENTS: usize = 1 << 30;
/// Largest half-steps of differences in T_eff (K), log g, v_mic (km/s), and [Fe/H] and [X/Fe]: v_mic has to
/// stay above zero, of which stars have 0.5 at least.
const LARGEST_STEPS: [f64; 4] = [500.0, 1.0, 0.4, 0.5];

/// What spectra of the line list to simulate, and what library of its gradients. Every key has a default;
/// unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpectraConfig {
    /// Number of stars.
    pub n_stars: usize,
    /// Seed of lines, stars, references and noise: files that belong together have the same.
    pub seed: u64,
    /// Number of the first star (of a library, of the first reference): from another number on there are
    /// other stars (references) of the same lines.
    pub first_star: u64,
    /// Labels that differ between stars and stand in files; the others are those of the Sun's kind: 5500 K,
    /// log g 4.4, 1 km/s, 0 dex.
    pub labels: Vec<String>,
    /// Dwarfs and giants of 4300–6800 K and [Fe/H] −2.5 to 0.4, in place of dwarfs of 4800–6200 K and −1 to
    /// 0.4.
    pub wide: bool,
    /// Whether every [X/Fe] is permuted among the stars, so that none can be inferred from others: the stars
    /// of the cheat test.
    pub permuted: bool,
    /// Whether labels stand as measured ones (teff, teff_error, …), for trainings, or as the truth
    /// (true_teff, …) only.
    pub labelled: bool,
    /// Signal-to-noise ratios per pixel, uniform between these.
    pub snr: [f64; 2],
    /// Whether fluxes have noise; without it they keep the errors of `snr`.
    pub noise: bool,
    /// First wavelength, Å (vacuum).
    pub start: f64,
    /// Width of a pixel, Å.
    pub pixel: f64,
    pub n_pixels: usize,
    /// Resolving power λ/FWHM.
    pub resolution: f64,
    /// Standard deviation, in dex, by which the strengths of all lines are wrong: a library with 0.1 (26 %)
    /// is imperfect physics for spectra with 0.
    pub strength_error: f64,
    pub library: LibraryConfig,
}

/// The gradient library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LibraryConfig {
    /// Number of reference points, which fill the range of the stars in core labels.
    pub n_references: usize,
    /// Where their [X/Fe] lie: "scattered" by ±0.25 dex each, "solar" (all 0, as published), or on the
    /// "alpha-track"; with the last two models cheat.
    pub ratios: References,
    /// Half-steps of central differences in T_eff (K), log g, v_mic (km/s), and [Fe/H] and [X/Fe]; none for
    /// exact derivatives.
    pub steps: Vec<f64>,
}

impl Default for LibraryConfig {
    fn default() -> Self {
        Self { n_references: 101, ratios: References::Scattered, steps: Vec::new() }
    }
}

impl Default for SpectraConfig {
    fn default() -> Self {
        let list = LineList::default();
        Self {
            n_stars: 3600,
            seed: list.seed,
            first_star: 0,
            labels: LABELS.map(|(name, _)| name.to_owned()).to_vec(),
            wide: false,
            permuted: false,
            labelled: true,
            snr: [20.0, 120.0],
            noise: true,
            start: list.start,
            pixel: list.pixel,
            n_pixels: list.n_pixels,
            resolution: list.resolution,
            strength_error: list.strength_error,
            library: LibraryConfig::default(),
        }
    }
}

impl SpectraConfig {
    /// The lines.
    pub fn line_list(&self) -> LineList {
        LineList {
            seed: self.seed,
            start: self.start,
            pixel: self.pixel,
            n_pixels: self.n_pixels,
            resolution: self.resolution,
            strength_error: self.strength_error,
            ..LineList::default()
        }
    }

    /// Indices of the labels in [`LABELS`], in the order of the configuration.
    ///
    /// # Errors
    /// `Usage`, for a label that the simulator does not have, one that is there twice, or none.
    pub fn label_indices(&self) -> Result<Vec<usize>> {
        let known = || LABELS.map(|(name, _)| name).join(", ");
        let mut indices = Vec::new();
        for label in &self.labels {
            let name = canonical_name(label);
            let index = LABELS.iter().position(|(known, _)| *known == name);
            let index = index.ok_or_else(|| refuse("labels", format!("'{label}'"), known()))?;
            if indices.contains(&index) {
                return Err(refuse("labels", format!("'{label}' twice"), "every label once"));
            }
            indices.push(index);
        }
        if indices.is_empty() { Err(refuse("labels", "none", known())) } else { Ok(indices) }
    }

    /// Half-steps of all labels; none where derivatives are exact.
    pub(super) fn steps(&self) -> Option<[f64; N_LABELS]> {
        let steps = &self.library.steps;
        steps.last().map(|last| std::array::from_fn(|k| *steps.get(k.min(FIRST_RATIO - 1)).unwrap_or(last)))
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Names the key, the value found and the values allowed.
    pub fn validate(&self) -> Result<()> {
        let in_range = |key: &str, value: f64, low: f64, high: f64| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(refuse(key, value, format!("a number from {low} to {high}"))),
        };
        self.label_indices()?;
        let [least, greatest] = self.snr;
        in_range("snr", greatest, 1.0, 1e5)?;
        in_range("snr", least, 1.0, greatest)?;
        in_range("start", self.start, 100.0, 1e6)?;
        in_range("pixel", self.pixel, 1e-3, 1e3)?;
        in_range("n_pixels", self.n_pixels as f64, 2.0, 100_000.0)?;
        in_range("resolution", self.resolution, 50.0, 1e6)?;
        in_range("strength_error", self.strength_error, 0.0, 2.0)?;
        let width = self.pixel * self.n_pixels as f64;
        if width > MOST_ANGSTROM {
            return Err(refuse("n_pixels", format!("{width} Å in all"), format!("at most {MOST_ANGSTROM} Å")));
        }
        let lines: usize = LineList::default().lines_per_300.iter().sum();
        let sigma = (self.start + width) / self.resolution / FWHM_OF_SIGMA;
        let values = (10.0 * sigma / self.pixel + 1.0).min(self.n_pixels as f64) * (lines as f64 * width / 300.0 + 24.0);
        if values > MOST_VALUES {
            let found = format!("{} over {width} Å in pixels of {} Å", self.resolution, self.pixel);
            return Err(refuse("resolution", found, "profiles of lines that fit into 2 GB"));
        }
        let numbers = self.first_star.checked_add(self.n_stars.max(self.library.n_references) as u64);
        if numbers.is_none_or(|end| end > SurveyConfig::MAX_STAR) {
            let found = format!("first_star {} and {} stars", self.first_star, self.n_stars);
            return Err(refuse("first_star", found, format!("star numbers below {}", SurveyConfig::MAX_STAR)));
        }
        if self.permuted && self.n_stars > MOST_PERMUTED {
            return Err(refuse("permuted", format!("{} stars", self.n_stars), format!("at most {MOST_PERMUTED}")));
        }
        self.validate_library()
    }

    fn validate_library(&self) -> Result<()> {
        let LibraryConfig { n_references, steps, .. } = &self.library;
        let n = n_references.saturating_mul(N_LABELS * self.n_pixels);
        if *n_references == 0 || n > MOST_GRADIENTS {
            let expected = format!("1 to {} of {} pixels", MOST_GRADIENTS / (N_LABELS * self.n_pixels), self.n_pixels);
            return Err(refuse("library.n_references", n_references, expected));
        }
        let is_possible = |(step, largest): (&f64, f64)| *step > 0.0 && *step <= largest;
        if !(steps.is_empty() || steps.len() == 4 && steps.iter().zip(LARGEST_STEPS).all(is_possible)) {
            let expected = format!("none, or four positive numbers up to {LARGEST_STEPS:?}");
            return Err(refuse("library.steps", format!("{steps:?}"), expected));
        }
        Ok(())
    }
}

fn refuse(key: &str, found: impl ToString, expected: impl Into<String>) -> Error {
    Error::usage(format!("simulated spectra, key '{key}'"))
        .found(found.to_string())
        .expected(expected)
        .remedy("Leave the key out for its default; `photosphere recipe simulate-spectra` prints all of them.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_survive_toml_and_are_valid() {
        let config: SpectraConfig = toml::from_str(&toml::to_string(&SpectraConfig::default()).unwrap()).unwrap();
        assert_eq!(config, SpectraConfig::default());
        config.validate().unwrap();
        let steps = SpectraConfig { library: LibraryConfig { steps: vec![40.0, 0.08, 0.1, 0.05], ..config.library }, ..config };
        steps.validate().unwrap();
        let of = steps.steps().unwrap();
        assert_eq!((of[..4].to_vec(), of[4..].to_vec()), (vec![40.0, 0.08, 0.1, 0.05], vec![0.05; 11]));
    }

    #[test]
    fn impossible_values_and_unknown_keys_are_refused() {
        assert!(toml::from_str::<SpectraConfig>("n_star = 3").is_err());
        assert!(toml::from_str::<SpectraConfig>("library.ratios = \"random\"").is_err());
        for text in [
            "labels = []",
            "labels = [\"teff\", \"TEFF\"]",
            "labels = [\"age\"]",
            "snr = [100, 50]",
            "snr = [nan, 50]",
            "start = -5000",
            "pixel = 0",
            "n_pixels = 1",
            "n_pixels = 100000000",
            "n_pixels = 100000\npixel = 10",
            "resolution = 0",
            "resolution = 50\npixel = 0.05\nn_pixels = 100000",
            "strength_error = -0.1",
            "first_star = 34359738368",
            "permuted = true\nn_stars = 1000000000",
            "library.n_references = 0",
            "library.n_references = 10000000",
            "library.steps = [40, 0.08, 0.6, 0.05]",
            "library.steps = [40]",
        ] {
            let error = toml::from_str::<SpectraConfig>(text).unwrap().validate().unwrap_err();
            let key = text.split(' ').next().unwrap();
            let key = if text.contains("pixel = 10") { "n_pixels" } else { key };
            assert!(error.to_string().contains(key), "{text}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
