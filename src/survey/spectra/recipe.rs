//! What a recipe says of spectra (`[spectra]` of a recipe for `prepare`).

use super::Layout;
use crate::error::{Error, Result};
use crate::spectrum::continuum::{ContinuumOptions, Method, SavitzkyGolay};
use crate::spectrum::{Doppler, LARGEST_VELOCITY, Medium, PixelGrid, Spacing, Variance, Window, named_windows, window_names};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Files of spectra and what to make of them. Wavelengths are in Å.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpectraSource {
    /// Files, and folders with files at any depth.
    pub files: Vec<PathBuf>,
    /// Names of the files that are taken from folders; `*` stands for anything (`coadd-*`).
    pub pattern: String,
    /// The layout of the files; told by their content where this is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Columns of plain tables.
    #[serde(skip_serializing_if = "PixelColumns::is_default")]
    pub columns: PixelColumns,
    /// Whether the files' wavelengths are in vacuum or in air, where they do not say it; where they do, it
    /// must be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<Medium>,
    /// The pixels of the observation file.
    pub grid: Spacing,
    /// Whether these are in vacuum or in air.
    pub grid_medium: Medium,
    /// Which variance resampled pixels have.
    pub variance: Variance,
    /// Part of a pixel that good pixels have to cover.
    pub least_coverage: f64,
    /// How spectra come into the rest frame.
    pub velocity: VelocityOptions,
    /// Identifiers of another catalogue (Gaia's, say) for the spectra.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifiers: Option<IdentifierTable>,
    /// Whether spectra of one identifier in several files are exposures of one star, to be joined as those in
    /// one file are; files are read twice then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub join_files: bool,
    /// Header keywords, or columns of DESI's fibre map, that become columns of the observation file, in
    /// lower case.
    pub carry: Vec<String>,
    /// Whether the σ of the line spread (Å) becomes a column of lists, where the files tell it (DESI's
    /// resolution matrix, SDSS's wdisp).
    pub line_spread: bool,
    /// Whether pixels are bad that were bad in one exposure of several.
    pub or_mask: bool,
    /// Standard windows whose pixels are missing in the observation file.
    pub mask: Vec<String>,
    /// Further windows, Å in vacuum.
    pub windows: Vec<Window>,
    /// A filter over the flux itself, before the continuum; noise of neighbours is correlated afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smooth: Option<Smoothing>,
    /// The pseudo-continuum by which spectra are divided.
    pub continuum: ContinuumOptions,
}

/// Names of the columns of a plain table; a column of lists makes a spectrum of every row, a column of
/// numbers one spectrum of the file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PixelColumns {
    /// Identifiers (`source_id`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Flux (`flux`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flux: Option<String>,
    /// Inverse variances (`ivar`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ivar: Option<String>,
    /// Errors, in place of inverse variances (`flux_error`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Wavelengths (`wavelength`; the metadata `wavelengths` where there is no such column).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wavelength: Option<String>,
    /// log10 of wavelengths in Å, in place of wavelengths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_wavelength: Option<String>,
    /// Unit of the wavelengths, where their column states none (Angstrom).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wavelength_unit: Option<String>,
    /// Integers that are not zero, or booleans that are true, where a pixel is bad (`mask`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
}

impl PixelColumns {
    /// Whether nothing is named.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A table from spectra to identifiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentifierTable {
    pub files: Vec<PathBuf>,
    /// The column that knows the spectra: names of files (text), or their own identifiers (integers:
    /// TARGETID, OBSID, CATALOGID).
    pub key: String,
    /// The column of the identifiers.
    pub id: String,
}

/// Window and degree of a Savitzky–Golay filter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoothing {
    pub window: usize,
    pub degree: usize,
}

/// Where velocities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VelocitySource {
    /// The file of the spectrum: c z of LAMOST and SDSS.
    #[default]
    File,
    /// A column of a joined table.
    Column,
    /// Spectra stay as they are: they are in the rest frame already, or velocities are to be fitted.
    None,
}

/// What becomes of spectra without a velocity that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutVelocity {
    /// Their rows have no flux, and a note.
    #[default]
    NoFlux,
    /// They stay in the frame in which they were observed, with a note.
    ObservedFrame,
}

/// How spectra come into the rest frame. Velocities are in km/s, positive receding, and heliocentric or
/// barycentric, as the spectra are: no further correction is applied.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VelocityOptions {
    pub source: VelocitySource,
    /// The column, by its new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Whether the column is a redshift, to be multiplied by c.
    pub redshift: bool,
    /// How a velocity becomes a factor of wavelengths.
    pub doppler: Doppler,
    /// A column that must be 0 where the velocity can be used (RVS_WARN, ZWARN).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// The column of errors, km/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Velocities with a larger error, or without one, are not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_error: Option<f64>,
    pub without: WithoutVelocity,
}

impl Default for SpectraSource {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            pattern: "*".into(),
            layout: None,
            columns: PixelColumns::default(),
            medium: None,
            grid: Spacing::Log([3800.0, 8900.0, 1e-4]),
            grid_medium: Medium::Vacuum,
            variance: Variance::default(),
            least_coverage: 0.5,
            velocity: VelocityOptions::default(),
            identifiers: None,
            join_files: false,
            carry: Vec::new(),
            line_spread: false,
            or_mask: false,
            mask: Vec::new(),
            windows: Vec::new(),
            smooth: None,
            continuum: ContinuumOptions::default(),
        }
    }
}

const REMEDY: &str = "`photosphere recipe prepare-spectra` prints a recipe that works.";

impl SpectraSource {
    /// Whether a continuum is divided out.
    pub fn is_normalised(&self) -> bool {
        self.continuum.method != Method::None
    }

    /// Checks values that belong together.
    ///
    /// # Errors
    /// Names the key and its value.
    pub fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("prepare recipe, spectra.{key}")).found(found).expected(expected).remedy(REMEDY))
        };
        let grid = PixelGrid::new(&self.grid)?;
        self.continuum.validate(&grid)?;
        if !(0.0..=1.0).contains(&self.least_coverage) {
            return fault("least_coverage", self.least_coverage.to_string(), "a part, 0 to 1");
        }
        for (key, names) in [("mask", &self.mask), ("continuum.mask", &self.continuum.mask)] {
            if let Some(name) = names.iter().find(|name| named_windows(name).is_none()) {
                return fault(key, format!("'{name}'"), &window_names().join(", "));
            }
        }
        if let Some(window) = self.windows.iter().find(|window| !(0.0 < window.low && window.low < window.high)) {
            return fault("windows", format!("{window:?}"), "low and high in rising order, Å");
        }
        if let Some(Smoothing { window, degree }) = self.smooth {
            SavitzkyGolay::check(window, degree, grid.len()).map_err(|error| error.within("prepare recipe, spectra.smooth"))?;
        }
        let VelocityOptions { source, column, largest_error, error, .. } = &self.velocity;
        if (*source == VelocitySource::Column) != column.is_some() {
            let found = format!("{source:?} and the column {column:?}");
            return fault("velocity", found, "source = \"column\" with the name of a column, or neither");
        }
        if let Some(limit) = largest_error
            && (error.is_none() || !(*limit > 0.0 && *limit <= LARGEST_VELOCITY))
        {
            return fault(
                "velocity.largest_error",
                format!("{limit} with the column {error:?}"),
                "a positive number of km/s, and `error`",
            );
        }
        if self.columns.wavelength.is_some() && self.columns.log_wavelength.is_some() {
            return fault("columns", "wavelength and log_wavelength".into(), "one of both");
        }
        if self.columns.ivar.is_some() && self.columns.error.is_some() {
            return fault("columns", "ivar and error".into(), "one of both");
        }
        Ok(())
    }

    /// The windows whose pixels are missing, and those that the continuum does not see.
    pub(super) fn all_windows(&self) -> (Vec<Window>, Vec<Window>) {
        let of = |names: &[String]| -> Vec<Window> { names.iter().filter_map(|name| named_windows(name)).flatten().collect() };
        let mut missing = of(&self.mask);
        missing.extend(&self.windows);
        (missing, of(&self.continuum.mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_recipes_are_refused_by_key() {
        let message = |text: &str| {
            let source: SpectraSource = toml::from_str(&format!("files = [\"x\"]\n{text}")).unwrap();
            source.validate().unwrap_err().to_string()
        };
        for (text, words) in [
            ("grid = { linear = [5000, 4000, 1] }", "grid of the spectra"),
            ("least_coverage = 2", "spectra.least_coverage"),
            ("mask = [\"ha\"]", "spectra.mask: found 'ha', expected balmer"),
            ("continuum.mask = [\"x\"]", "spectra.continuum.mask"),
            ("windows = [{ low = 2, high = 1, frame = \"rest\" }]", "spectra.windows"),
            ("smooth = { window = 4, degree = 2 }", "spectra.smooth"),
            // None of them is built before it is refused: a hat matrix of 8·10¹² values, 10¹² weights.
            ("smooth = { window = 1000001, degree = 2 }", "spectra.smooth"),
            ("smooth = { window = 9223372036854775807, degree = 2 }", "spectra.smooth"),
            ("continuum = { method = \"savitzky-golay\", window = 1000001 }", "continuum.window"),
            ("continuum = { method = \"savitzky-golay\", degree = 9223372036854775807 }", "continuum.window"),
            (
                "continuum = { kernel = 1e9 }\ngrid = { linear = [5000, 15000, 0.02] }",
                "continuum.kernel: found 1000000000 Å: 250001000001 weights",
            ),
            ("continuum = { kernel = inf }", "continuum.kernel"),
            ("grid = { linear = [1e17, 1.0000000000000002e17, 1] }", "grid of the spectra"),
            ("velocity = { source = \"column\" }", "spectra.velocity"),
            ("velocity = { largest_error = 5 }", "largest_error"),
            ("continuum = { kernel = -1 }", "continuum.kernel"),
            ("columns = { wavelength = \"w\", log_wavelength = \"l\" }", "one of both"),
            ("columns = { ivar = \"i\", error = \"e\" }", "found ivar and error, expected one of both"),
        ] {
            let found = message(text);
            assert!(found.contains(words), "{found}");
        }
        for unknown in ["typo = 1", "[continuum]\nkernal = 2", "[velocity]\nsign = 1"] {
            assert!(toml::from_str::<SpectraSource>(unknown).is_err(), "{unknown}");
        }
        let source: SpectraSource = toml::from_str("files = [\"x\"]\nlayout = \"lamost\"").unwrap();
        source.validate().unwrap();
        assert_eq!(toml::from_str::<SpectraSource>(&toml::to_string(&source).unwrap()).unwrap(), source);
    }
}
