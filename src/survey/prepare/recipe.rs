//! The recipe of a preparation.

use super::bands::PhotometrySource;
use crate::error::{Error, Result};
use crate::noise::Inflation;
use crate::survey::spectra::SpectraSource;
use crate::survey::xp::{
    self, ColumnMap, DEFAULT_INSTRUMENT, Encoding, ErrorConvention, Instrument, Sampling, SpectrumOptions, Truncation,
};
use crate::table::file_of;
use crate::text::{first_repeated, read_toml};
use crate::warning::warn_once;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to join and how (TOML). Paths are relative to the working directory; a folder stands for the files in
/// it, by name.
///
/// The rows of the observation file are the stars of the XP files, or, without these, of the first table; the
/// other tables are joined to them on their identifiers. The columns `parallax`, `extinction` and the labels,
/// each with its `_error`, become constraints; every other column is passed through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrepareRecipe {
    /// What to do with an identifier that occurs twice in one source.
    pub duplicates: Duplicates,
    /// Names of the labels; each needs a column of that name and one with `_error` appended.
    pub labels: Vec<String>,
    /// Added to the parallaxes, in mas.
    pub parallax_zero_point: f64,
    /// A column whose values are subtracted from the parallaxes (Gaia DR4's `tentative_parallax_bias`), in
    /// their unit; a parallax whose bias is missing is missing too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallax_bias_column: Option<String>,
    /// Gaia XP continuous spectra.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xp: Option<XpSource>,
    /// Spectra of DESI, LAMOST, SDSS, or in tables; in place of XP spectra and photometry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spectra: Option<SpectraSource>,
    /// Tables with photometry, parallaxes, labels.
    pub tables: Vec<TableSource>,
    /// Photometric bands, after the XP samples in the flux.
    pub photometry: PhotometrySource,
}

/// What to do with duplicate identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// Stop and name them.
    #[default]
    Error,
    /// Use the first row, drop and count the others.
    KeepFirst,
}

/// Files of XP spectra and what to make of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XpSource {
    /// Files or folders.
    pub files: Vec<PathBuf>,
    /// The instrument of the spectra's release: a built-in one by name, or the path of an instrument file.
    #[serde(default = "default_instrument", skip_serializing_if = "is_default_instrument")]
    pub instrument: String,
    /// Whether spectra may have fewer coefficients than the instrument has bases.
    #[serde(default, skip_serializing_if = "is_default")]
    pub truncation: Truncation,
    /// The encoding of covariances that is used; without it the first that a file has, and others in it must
    /// agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covariance: Option<Encoding>,
    /// The file's names of columns, by the archive's names.
    #[serde(default, skip_serializing_if = "ColumnMap::is_empty")]
    pub columns: ColumnMap,
    /// The wavelengths.
    #[serde(default)]
    pub grid: Grid,
    /// How coefficient errors become a covariance.
    #[serde(default)]
    pub error_convention: ErrorConvention,
    /// Calibration errors added to the covariance.
    #[serde(default)]
    pub inflation: Inflation,
}

impl Default for XpSource {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            instrument: default_instrument(),
            truncation: Truncation::default(),
            covariance: None,
            columns: ColumnMap::default(),
            grid: Grid::default(),
            error_convention: ErrorConvention::default(),
            inflation: Inflation::default(),
        }
    }
}

impl XpSource {
    /// How its spectra are read, with the instrument.
    ///
    /// # Errors
    /// When the instrument is not known or cannot be read, or the options do not go with it.
    pub fn spectrum_options(&self) -> Result<SpectrumOptions> {
        let instrument = Instrument::open(&self.instrument).map_err(|error| error.within("prepare recipe, xp.instrument"))?;
        let options = SpectrumOptions {
            instrument,
            truncation: self.truncation,
            covariance: self.covariance,
            error_convention: self.error_convention,
        };
        options.validate()?;
        Ok(options)
    }
}

fn default_instrument() -> String {
    DEFAULT_INSTRUMENT.into()
}

fn is_default_instrument(name: &str) -> bool {
    name == DEFAULT_INSTRUMENT
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The wavelengths at which XP spectra are sampled.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grid {
    /// 392, 402, … 992 nm.
    #[default]
    Standard,
    /// The archive's 336, 338, … 1020 nm, with its tabulated design matrices.
    Archive,
    /// `{ range = [first, last, step] }` in nm, the last included.
    Range([f64; 3]),
    /// `{ wavelengths = […] }` in nm.
    Wavelengths(Vec<f64>),
}

/// Files of one table, to be joined on its identifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSource {
    /// Files (or folders) with the same columns, one after the other.
    pub files: Vec<PathBuf>,
    /// The identifier's column: 64-bit integers.
    #[serde(default = "default_id")]
    pub id: String,
    /// New names by the file's names, e.g. `ebv = "extinction"`.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Columns to use, by their new names; all where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Numbers that mean "missing", by the new name of their column.
    #[serde(default)]
    pub sentinels: BTreeMap<String, f64>,
}

pub(super) const REMEDY: &str = "`photosphere recipe prepare-xp` prints a recipe that works (`prepare-spectra` one of spectra), `photosphere recipe prepare` the defaults.";
/// Largest zero-point of parallaxes, mas; that of Gaia is 0.05.
const MOST_ZERO_POINT: f64 = 10.0;

impl TableSource {
    /// Checks names and numbers; `fault` makes the error of a key.
    fn validate(&self, fault: impl Fn(&str, String, &str) -> Result<()>) -> Result<()> {
        if self.id.trim().is_empty() {
            return fault("id", format!("{:?}", self.id), "the name of the identifier's column");
        }
        let renamed: Vec<String> = self.rename.values().cloned().collect();
        if let Some(name) = renamed.iter().find(|name| name.trim().is_empty() || *name == "source_id") {
            return fault("rename", format!("{name:?} as a new name"), "a name, and not that of the identifier");
        }
        for (key, names) in [("rename", &renamed), ("columns", self.columns.as_ref().unwrap_or(&Vec::new()))] {
            if let Some(name) = first_repeated(names) {
                return fault(key, format!("'{name}' twice"), "distinct names");
            }
        }
        match self.sentinels.iter().find(|(_, sentinel)| sentinel.is_nan()) {
            Some((name, _)) => fault(&format!("sentinels.{name}"), "nan".into(), "a number; NaN is missing anyway"),
            None => Ok(()),
        }
    }

    /// All columns of a file with the identifier `source_id`.
    pub fn of_file(file: PathBuf) -> Self {
        Self { files: vec![file], id: default_id(), rename: BTreeMap::new(), columns: None, sentinels: BTreeMap::new() }
    }
}

fn default_id() -> String {
    "source_id".into()
}

impl Default for PrepareRecipe {
    fn default() -> Self {
        Self {
            duplicates: Duplicates::Error,
            labels: ["teff", "feh", "logg"].map(String::from).into(),
            parallax_zero_point: 0.0,
            parallax_bias_column: None,
            xp: None,
            spectra: None,
            tables: Vec::new(),
            photometry: PhotometrySource::default(),
        }
    }
}

impl PrepareRecipe {
    /// Reads and validates a recipe.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key or an impossible value.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let error = Error::usage(path.display().to_string()).found(error.to_string()).source(error);
            error.expected("a recipe for prepare (TOML)").remedy(REMEDY)
        })?;
        Self::parse(&text).map_err(|error| error.within(path.display()))
    }

    /// Parses and validates a recipe.
    ///
    /// # Errors
    /// When it has an unknown key or an impossible value.
    pub fn parse(text: &str) -> Result<Self> {
        let recipe: Self = read_toml(text)
            .map_err(|fault| Error::usage("prepare recipe").found(fault).expected("a recipe for prepare").remedy(REMEDY))?;
        recipe.validate()?;
        Ok(recipe)
    }

    /// All files and folders that it names.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let xp = self.xp.iter().flat_map(|xp| &xp.files);
        let spectra = self.spectra.iter().flat_map(|spectra| {
            spectra.files.iter().chain(spectra.identifiers.iter().flat_map(|identifiers| &identifiers.files))
        });
        xp.chain(spectra).chain(self.tables.iter().flat_map(|table| &table.files)).map(PathBuf::as_path)
    }

    /// As [`Self::paths`], to be changed.
    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let xp = self.xp.iter_mut().flat_map(|xp| &mut xp.files);
        let spectra = self.spectra.iter_mut().flat_map(|spectra| {
            spectra.files.iter_mut().chain(spectra.identifiers.iter_mut().flat_map(|identifiers| &mut identifiers.files))
        });
        xp.chain(spectra).chain(self.tables.iter_mut().flat_map(|table| &mut table.files))
    }

    /// Checks values that belong together.
    ///
    /// # Errors
    /// Names the key and its value.
    pub fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("prepare recipe, {key}")).found(found).expected(expected).remedy(REMEDY))
        };
        if self.xp.is_none() && self.spectra.is_none() && self.tables.is_empty() {
            return fault("xp and tables", "neither".into(), "at least one source of stars");
        }
        if !self.parallax_zero_point.is_finite() || self.parallax_zero_point.abs() > MOST_ZERO_POINT {
            return fault("parallax_zero_point", self.parallax_zero_point.to_string(), "a number of mas, of 10 at most");
        }
        if self.labels.iter().any(|label| label.trim().is_empty() || label == "source_id") {
            return fault("labels", format!("{:?}", self.labels), "names of columns of labels");
        }
        if let Some(label) = first_repeated(&self.labels) {
            return fault("labels", format!("'{label}' twice"), "distinct names");
        }
        if let Some(spectra) = &self.spectra {
            if self.xp.is_some() || !self.photometry.bands()?.is_empty() {
                return fault(
                    "spectra",
                    "xp or photometry beside it".into(),
                    "spectra alone: one kind of flux in an observation file",
                );
            }
            spectra.validate()?;
        }
        if let Some(xp) = &self.xp {
            let Inflation { independent, common, parts: [first, second] } = xp.inflation;
            if let Some(value) = [independent, common, first, second].into_iter().find(|value| !(0.0..=10.0).contains(value)) {
                return fault("xp.inflation", value.to_string(), "fractions from 0 to 10");
            }
            xp.columns.validate()?;
            // A file's instrument is read when the recipe is used.
            if Instrument::names().contains(&xp.instrument.as_str()) {
                xp.grid.sampling(&xp.spectrum_options()?.instrument, 0, 0)?;
            }
        }
        for (position, table) in self.tables.iter().enumerate() {
            table.validate(|key, found, expected| fault(&format!("tables, number {}, {key}", position + 1), found, expected))?;
        }
        let bands = self.photometry.bands()?;
        for band in &bands {
            let key = format!("photometry, band '{}'", band.name);
            let columns = [&band.name, &band.magnitude_column, &band.error_column];
            if columns.iter().any(|name| name.trim().is_empty()) || band.magnitude_column == band.error_column {
                return fault(&key, format!("{columns:?}"), "a name, and two columns: of the magnitude and of its error");
            }
            if let Some(cut) = band.crowding.as_ref().filter(|cut| cut.limit.is_nan() || cut.column.trim().is_empty()) {
                return fault(&key, format!("crowding = {cut:?}"), "a column and a number as the limit");
            }
        }
        let names: Vec<String> = bands.into_iter().map(|band| band.name).collect();
        if self.xp.is_none() && self.spectra.is_none() && names.is_empty() {
            return fault("photometry", "no bands, and no XP spectra".into(), "at least one flux");
        }
        match first_repeated(&names) {
            Some(name) => fault("photometry", format!("band '{name}' twice"), "distinct names"),
            None => Ok(()),
        }
    }
}

impl Grid {
    /// Design matrices on this grid.
    ///
    /// # Errors
    /// When the grid or the numbers of coefficients lie outside the instrument.
    pub fn sampling(&self, instrument: &Instrument, n_bp: usize, n_rp: usize) -> Result<Sampling> {
        match self {
            Self::Standard => instrument.sampling(&xp::DEFAULT_WAVELENGTHS, n_bp, n_rp),
            Self::Archive => instrument.archive_sampling(n_bp, n_rp),
            Self::Wavelengths(wavelengths) => instrument.sampling(wavelengths, n_bp, n_rp),
            &Self::Range([first, last, step]) => {
                let n_steps = ((last - first) / step + 1e-9).floor();
                if !(step > 0.0 && (0.0..1e5).contains(&n_steps)) {
                    return Err(Error::usage("prepare recipe, xp.grid")
                        .found(format!("range = [{first}, {last}, {step}]"))
                        .expected("[first, last, step] in nm with a positive step, of at most 100000 wavelengths")
                        .remedy(REMEDY));
                }
                let wavelengths: Vec<f64> = (0..=n_steps as usize).map(|sample| first + step * sample as f64).collect();
                instrument.sampling(&wavelengths, n_bp, n_rp)
            }
        }
    }
}

/// The files that a list of files and folders stands for.
///
/// # Errors
/// When an entry does not exist or there are no files.
pub(in crate::survey) fn expand(entries: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            let read = std::fs::read_dir(entry).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
            let mut inside: Vec<PathBuf> =
                read.map_err(|error| Error::reading(entry, error))?.into_iter().map(|item| item.path()).collect();
            inside.retain(|path| path.is_file() && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
            inside.sort();
            if let [first, _, ..] = inside.as_slice() {
                let first = first.display();
                warn_once(format!("{}: its {} files ({first}, …) are read as one table", entry.display(), inside.len()));
            }
            files.extend(inside);
        } else if file_of(entry).is_file() {
            files.push(entry.clone());
        } else {
            return Err(Error::data(entry.display().to_string())
                .found("no such file or folder")
                .remedy("Correct the path in the recipe; it is relative to the working directory."));
        }
    }
    if files.is_empty() {
        return Err(Error::usage("prepare recipe, files")
            .found("no files")
            .expected("at least one")
            .remedy("Name files, or a folder with files in it."));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_of_the_project_are_valid() {
        for text in [
            include_str!("../../../models/recipes/prepare-xp.toml"),
            include_str!("../../../models/recipes/prepare-photometry-lamost.toml"),
            include_str!("../../../models/recipes/prepare-spectra.toml"),
        ] {
            let recipe = PrepareRecipe::parse(text).unwrap();
            let printed = toml::to_string(&recipe).unwrap();
            assert_eq!(PrepareRecipe::parse(&printed).unwrap(), recipe);
        }
    }

    #[test]
    fn grids_are_named_ranges_or_lists() {
        let wavelengths = |grid: &str| {
            let recipe = PrepareRecipe::parse(&format!("[xp]\nfiles = [\"x\"]\ngrid = {grid}"))?;
            recipe.xp.unwrap().grid.sampling(Instrument::standard()?, 55, 55).map(|sampling| sampling.wavelength)
        };
        assert_eq!(wavelengths("\"standard\"").unwrap(), xp::DEFAULT_WAVELENGTHS);
        assert_eq!(wavelengths("\"archive\"").unwrap(), wavelengths("{ range = [336, 1020, 2] }").unwrap());
        assert_eq!(wavelengths("{ wavelengths = [400, 500.5] }").unwrap(), [400.0, 500.5]);
        for bad in ["{ range = [400, 500, 0] }", "{ range = [300, 500, 10] }", "{ wavelengths = [500, 400] }", "\"other\""] {
            assert!(wavelengths(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn impossible_recipes_are_refused_by_name() {
        let message = |text: &str| {
            let error = PrepareRecipe::parse(text).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        assert!(message("").contains("xp and tables"));
        assert!(message("[[tables]]\nfiles = [\"x\"]").contains("no bands"));
        assert!(message("[xp]\nfiles = []\nfile = 1").contains("unknown field"));
        assert!(message("labels = [\"teff\", \"teff\"]\n[xp]\nfiles = [\"x\"]").contains("'teff' twice"));
        assert!(message("[xp]\nfiles = [\"x\"]\n[xp.inflation]\ncommon = -1").contains("xp.inflation"));
        assert!(message("[xp]\nfiles = [\"x\"]\n[photometry]\nsets = [\"2mas\"]").contains("2mass, wise"));
        assert!(message("[xp]\nfiles = [\"x\"]\n[photometry]\nsets = [\"2mass\", \"2mass\"]").contains("band 'j' twice"));
    }
}
