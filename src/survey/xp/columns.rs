//! Which columns hold XP spectra, and of what kind.

use super::Encoding;
use crate::error::{Error, Result};
use crate::table::{Column, ColumnSchema, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What follows `bp_` and `rp_` in the names of the columns of continuous spectra, with other spellings of
/// each that are known.
pub(super) const BAND_COLUMNS: [(&str, &[&str]); 12] = [
    ("coefficients", &[]),
    ("coefficient_errors", &[]),
    ("coefficient_correlations", &[]),
    ("coefficient_covariances", &["coefficient_covariance"]),
    ("sqrt_covariance", &["sqrt_cov", "coefficient_sqrt_covariances", "coefficient_sqrt_covariance"]),
    ("norm_sqrt_covariance", &["norm_sqrt_cov", "coefficient_norm_sqrt_covariances", "normalised_sqrt_covariance"]),
    ("formal_errors", &["coefficient_formal_errors"]),
    ("standard_deviation", &[]),
    ("n_parameters", &[]),
    ("basis_function_id", &[]),
    ("degrees_of_freedom", &[]),
    ("n_relevant_bases", &[]),
];

/// Columns of sampled spectra.
const SAMPLED_COLUMNS: [&str; 2] = ["flux", "flux_error"];

/// Names of a file's columns where they are not the archive's: the file's name by the archive's
/// (`bp_coefficients = "bp_coeff"`; also `source_id`, `flux`, `flux_error`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ColumnMap(BTreeMap<String, String>);

/// What a file of XP spectra holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpectrumKind {
    /// Coefficients of basis functions.
    Continuous,
    /// Fluxes at the archive's wavelengths, without correlations.
    Sampled,
}

impl ColumnMap {
    /// Whether every column has its usual name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the names on the left.
    ///
    /// # Errors
    /// Names one that is no column of XP spectra.
    pub fn validate(&self) -> Result<()> {
        let known = |name: &str| {
            let of_band = name.strip_prefix("bp_").or_else(|| name.strip_prefix("rp_"));
            name == "source_id"
                || SAMPLED_COLUMNS.contains(&name)
                || of_band.is_some_and(|name| BAND_COLUMNS.iter().any(|(known, _)| *known == name))
        };
        match self.0.keys().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => {
                let names: Vec<&str> = BAND_COLUMNS.iter().map(|(name, _)| *name).collect();
                Err(Error::usage("prepare recipe, xp.columns")
                    .found(format!("'{name}'"))
                    .expected(format!("source_id, flux, flux_error, or bp_ or rp_ and one of {}", names.join(", "))))
            }
        }
    }

    /// The table with the archive's names in the place of the file's.
    ///
    /// # Errors
    /// When two names stand for one column.
    pub fn renamed(&self, mut table: Table) -> Result<Table> {
        let taken: Vec<Column> = self.0.iter().filter_map(|(name, in_file)| Some(named(name, table.take(in_file)?))).collect();
        for column in taken {
            // A column that the map does not mean, under the name of one that it means.
            table.take(&column.schema.name);
            table.push(column).map_err(|error| error.within("prepare recipe, xp.columns"))?;
        }
        Ok(table)
    }

    /// The name in the file of a column of the archive.
    fn name_in_file<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).map_or(name, String::as_str)
    }

    /// The name, among those that a file has, of a band's column; the map's, the usual one, or another
    /// spelling.
    fn find_in_band<'n>(&self, band: &str, name: &str, names: &[&'n str]) -> Option<&'n str> {
        match self.0.get(&format!("{band}_{name}")) {
            Some(mapped) => names.iter().copied().find(|name| name == mapped),
            None => find_in_band(band, name, names),
        }
    }
}

fn named(name: &str, mut column: Column) -> Column {
    column.schema.name = name.to_owned();
    column
}

/// The name, among those that a file has, of a band's column; the usual one, or another spelling.
pub(super) fn find_in_band<'n>(band: &str, name: &str, names: &[&'n str]) -> Option<&'n str> {
    let others = BAND_COLUMNS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, others)| others);
    let find = |wanted: &str| names.iter().copied().find(|name| *name == wanted);
    std::iter::once(&name).chain(others).find_map(|name| find(&format!("{band}_{name}")))
}

/// The column, after `bp_` and `rp_`, of an encoding.
pub(super) const fn column_of(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Correlations => "coefficient_correlations",
        Encoding::Covariance => "coefficient_covariances",
        Encoding::Factor => "sqrt_covariance",
        Encoding::NormalisedFactor => "norm_sqrt_covariance",
    }
}

/// The columns of a file of continuous spectra from which spectra are made; `None` when the file has no
/// coefficients and holds something else.
pub fn spectrum_columns(schemas: &[ColumnSchema]) -> Option<Vec<&str>> {
    match columns_of_spectra(schemas, &ColumnMap::default()) {
        Some((SpectrumKind::Continuous, columns)) => Some(columns),
        _ => None,
    }
}

/// What spectra a file holds, and the columns from which they are made; `None` when there are none.
pub fn columns_of_spectra<'n>(schemas: &'n [ColumnSchema], map: &ColumnMap) -> Option<(SpectrumKind, Vec<&'n str>)> {
    let names: Vec<&'n str> = schemas.iter().map(|schema| schema.name.as_str()).collect();
    let has = |name: &str| names.contains(&map.name_in_file(name));
    let mut columns: Vec<&'n str> = names.iter().copied().filter(|name| *name == map.name_in_file("source_id")).collect();
    if has("bp_coefficients") || has("rp_coefficients") {
        for band in ["bp", "rp"] {
            columns.extend(BAND_COLUMNS.iter().filter_map(|(name, _)| map.find_in_band(band, name, &names)));
        }
        return Some((SpectrumKind::Continuous, columns));
    }
    // An observation file has more columns beside fluxes.
    if SAMPLED_COLUMNS.iter().all(|name| has(name))
        && !has("input_notes")
        && !names.iter().any(|name| name.ends_with("covariance_triu"))
    {
        columns
            .extend(names.iter().copied().filter(|name| SAMPLED_COLUMNS.iter().any(|wanted| map.name_in_file(wanted) == *name)));
        return Some((SpectrumKind::Sampled, columns));
    }
    None
}

/// Refuses epoch spectra by name: the archive's product `EPOCH_SPECTRUM_XP`, one row or element per transit
/// of a source.
///
/// # Errors
/// When the columns are those of epoch spectra; the column that shows it is named.
pub fn refuse_epoch_spectra<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let names: Vec<&str> = names.collect();
    let words = |name: &str| name.to_lowercase().split('_').map(String::from).collect::<Vec<_>>();
    // Words that only single transits have; `bp_n_transits` counts those of a mean spectrum.
    let of_transit = |name: &&str| {
        // The catalogue's reference epoch is none of a transit.
        let words = if *name == "ref_epoch" { Vec::new() } else { words(name) };
        let has = |word: &str| words.iter().any(|known| known == word);
        has("epoch")
            || has("epochs")
            || (has("transit") && (has("id") || has("ids") || has("time")))
            || (has("obs") && has("time"))
    };
    let of_photometer = |name: &&str| {
        let words = words(name);
        let spectral = ["flux", "fluxes", "sample", "samples", "spectrum", "coefficients", "coefficient"];
        // Integrated photometry (`phot_bp_mean_flux`) is no spectrum.
        !name.starts_with("phot_")
            && words.iter().any(|word| ["bp", "rp", "xp"].contains(&word.as_str()))
            && (words.len() == 1 || words.iter().any(|word| spectral.contains(&word.as_str())))
    };
    let (transit, photometer) = (names.iter().find(|name| of_transit(name)), names.iter().any(of_photometer));
    match transit.filter(|_| photometer) {
        None => Ok(()),
        Some(column) => Err(Error::data("XP spectra")
            .found(format!("epoch spectra (EPOCH_SPECTRUM_XP: column '{column}'), one per transit"))
            .expected("mean spectra (MEAN_SPECTRUM_XP, xp_continuous_mean_spectrum), one per source")
            .remedy("Download the mean spectra of these sources.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas(names: &[&str]) -> Vec<ColumnSchema> {
        names.iter().map(|name| ColumnSchema::new(*name, "", "")).collect()
    }

    #[test]
    fn kinds_are_known_by_their_columns() {
        let kind = |names: &[&str]| columns_of_spectra(&schemas(names), &ColumnMap::default()).map(|(kind, _)| kind);
        assert_eq!(kind(&["source_id", "bp_coefficients", "ra"]), Some(SpectrumKind::Continuous));
        assert_eq!(kind(&["source_id", "flux", "flux_error"]), Some(SpectrumKind::Sampled));
        assert_eq!(kind(&["source_id", "flux", "flux_error", "xp_covariance_triu"]), None);
        assert_eq!(kind(&["source_id", "flux"]), None);
    }

    #[test]
    fn mapped_and_differently_spelled_columns_are_found() {
        let map: ColumnMap = toml::from_str("bp_coefficients = \"blue\"\nsource_id = \"id\"").unwrap();
        assert!(map.validate().is_ok());
        let schemas =
            schemas(&["id", "ra", "blue", "bp_coefficient_errors", "bp_sqrt_cov", "bp_coefficients", "rp_n_parameters"]);
        let (kind, columns) = columns_of_spectra(&schemas, &map).unwrap();
        assert_eq!(kind, SpectrumKind::Continuous);
        assert_eq!(columns, ["id", "blue", "bp_coefficient_errors", "bp_sqrt_cov", "rp_n_parameters"]);
        let unknown: ColumnMap = toml::from_str("bp_coeffs = \"blue\"").unwrap();
        assert!(unknown.validate().unwrap_err().to_string().contains("'bp_coeffs'"));
    }

    #[test]
    fn epoch_spectra_are_refused_by_that_name() {
        let refused = |names: &[&str]| refuse_epoch_spectra(names.iter().copied()).err().map(|error| error.to_string());
        for names in [
            &["source_id", "transit_id", "bp_flux", "rp_flux"][..],
            &["source_id", "bp_obs_time", "bp_fluxes"],
            &["source_id", "epoch", "xp", "flux", "flux_error"],
            &["source_id", "transit_ids", "bp_coefficients"],
        ] {
            let message = refused(names).unwrap_or_default();
            assert!(
                message.contains("EPOCH_SPECTRUM_XP") && message.contains("Download the mean spectra"),
                "{names:?}: {message}"
            );
        }
        for names in [
            &["source_id", "bp_coefficients", "bp_n_transits", "bp_num_of_transits", "bp_n_contaminated_transits"][..],
            &["source_id", "ref_epoch", "flux", "flux_error"],
            &["source_id", "ref_epoch", "phot_bp_mean_flux", "bp_rp", "bp_coefficients"],
            &["source_id", "epoch", "phot_bp_mean_flux", "parallax"],
        ] {
            assert_eq!(refused(names), None, "{names:?}");
        }
    }
}
