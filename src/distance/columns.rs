//! Where in a catalogue the numbers of a star stand: names of columns, given or found; units as the columns
//! state them.

use super::magnitude::LN_DISTANCE_PER_MAGNITUDE;
use super::mixture::StarMixture;
use super::options::{DistanceOptions, ParallaxContent, ZeroPointChoice};
use super::star::Star;
use super::zero_point::Astrometry;
use crate::error::{Error, Result};
use crate::model;
use crate::quantity::{Notices, Quantity, Role};
use crate::run::provenance::was_constraint;
use crate::statistics::Measured;
use crate::table::Table;
use serde::{Deserialize, Serialize};

/// The name that says that there is no such column.
const NONE: &str = "none";
/// The name of an identifier that is the number of the row.
const ROW: &str = "row";

/// The keys of a mixture.
const MIXTURE: [&str; 4] = ["single_fraction", "binary_offset", "single_scatter", "binary_scatter"];

/// Names of columns. An empty one is found by the names that surveys use, in any case; `none` is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnMap {
    /// An integer column, or `row` for the number of the row in all inputs of a catalogue.
    pub source_id: String,
    pub ra: String,
    pub dec: String,
    pub parallax: String,
    pub parallax_error: String,
    pub astrometric_params_solved: String,
    /// G, for the zero point.
    pub phot_g_mean_mag: String,
    pub nu_eff_used_in_astrometry: String,
    pub pseudocolour: String,
    pub ecl_lat: String,
    pub ruwe: String,
    /// In the band of the absolute magnitude.
    pub magnitude: String,
    pub magnitude_error: String,
    /// `none` where magnitudes are dereddened.
    pub extinction: String,
    pub extinction_error: String,
    /// What the column of extinctions is multiplied by: R where it is a reddening.
    pub extinction_coefficient: f64,
    pub absolute_magnitude: String,
    pub absolute_magnitude_error: String,
    /// ln(1/√L) in place of the absolute magnitude.
    pub ln_label: String,
    pub ln_label_error: String,
    pub spectroscopic_parallax: String,
    pub spectroscopic_parallax_error: String,
    /// A mixture of single stars and pairs for every star, all four or none.
    pub single_fraction: String,
    pub binary_offset: String,
    pub single_scatter: String,
    pub binary_scatter: String,
    pub snr: String,
}

impl Default for ColumnMap {
    fn default() -> Self {
        Self {
            source_id: String::new(),
            ra: String::new(),
            dec: String::new(),
            parallax: String::new(),
            parallax_error: String::new(),
            astrometric_params_solved: String::new(),
            phot_g_mean_mag: String::new(),
            nu_eff_used_in_astrometry: String::new(),
            pseudocolour: String::new(),
            ecl_lat: String::new(),
            ruwe: String::new(),
            magnitude: String::new(),
            magnitude_error: String::new(),
            extinction: String::new(),
            extinction_error: String::new(),
            extinction_coefficient: 1.0,
            absolute_magnitude: String::new(),
            absolute_magnitude_error: String::new(),
            ln_label: String::new(),
            ln_label_error: String::new(),
            spectroscopic_parallax: String::new(),
            spectroscopic_parallax_error: String::new(),
            single_fraction: String::new(),
            binary_offset: String::new(),
            single_scatter: String::new(),
            binary_scatter: String::new(),
            snr: String::new(),
        }
    }
}

/// The columns of a table that were found, by the keys of the map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FoundColumns {
    names: Vec<(&'static str, String)>,
    /// What the spectroscopic parallax of a fit is made of, where the file is a catalogue of one.
    pub content: Option<ParallaxContent>,
    is_dereddened: bool,
    coefficient: f64,
}

impl ColumnMap {
    /// Whether the number of the row is the identifier.
    pub fn counts_rows(&self) -> bool {
        self.source_id == ROW
    }

    /// The keys, their names in the map, and the names by which each is found.
    fn keys(&self) -> [(&'static str, &str, &'static [&'static str]); 26] {
        [
            ("source_id", &self.source_id, &["source_id", "gaia_id"]),
            ("ra", &self.ra, &["ra"]),
            ("dec", &self.dec, &["dec"]),
            ("parallax", &self.parallax, &["parallax", "plx"]),
            ("parallax_error", &self.parallax_error, &["parallax_error", "parallax_err", "e_parallax", "e_plx"]),
            ("astrometric_params_solved", &self.astrometric_params_solved, &["astrometric_params_solved", "aps"]),
            ("phot_g_mean_mag", &self.phot_g_mean_mag, &["phot_g_mean_mag", "g_mag"]),
            ("nu_eff_used_in_astrometry", &self.nu_eff_used_in_astrometry, &["nu_eff_used_in_astrometry", "neuia"]),
            ("pseudocolour", &self.pseudocolour, &["pseudocolour", "p_color"]),
            ("ecl_lat", &self.ecl_lat, &["ecl_lat"]),
            ("ruwe", &self.ruwe, &["ruwe"]),
            ("magnitude", &self.magnitude, &["magnitude", "phot_g_mean_mag", "g_mag"]),
            ("magnitude_error", &self.magnitude_error, &["magnitude_error", "phot_g_mean_mag_error", "g_mag_error"]),
            ("extinction", &self.extinction, &["a_g", "ag"]),
            ("extinction_error", &self.extinction_error, &["a_g_error", "ag_error"]),
            ("absolute_magnitude", &self.absolute_magnitude, &["absolute_magnitude", "m_g_nn", "mg_nn", "m_g"]),
            (
                "absolute_magnitude_error",
                &self.absolute_magnitude_error,
                &["absolute_magnitude_error", "m_g_nn_error", "mg_nn_error", "m_g_error"],
            ),
            ("ln_label", &self.ln_label, &["ln_label", "ln_inverse_sqrt_luminosity"]),
            ("ln_label_error", &self.ln_label_error, &["ln_label_error", "ln_inverse_sqrt_luminosity_error"]),
            ("spectroscopic_parallax", &self.spectroscopic_parallax, &["spectroscopic_parallax"]),
            ("spectroscopic_parallax_error", &self.spectroscopic_parallax_error, &["spectroscopic_parallax_error"]),
            ("single_fraction", &self.single_fraction, &["single_fraction"]),
            ("binary_offset", &self.binary_offset, &["binary_offset"]),
            ("single_scatter", &self.single_scatter, &["single_scatter"]),
            ("binary_scatter", &self.binary_scatter, &["binary_scatter"]),
            ("snr", &self.snr, &["snr", "snr_g"]),
        ]
    }

    /// Finds the columns. A catalogue of `photosphere fit` is known by its metadata: its parallax is the
    /// spectroscopic one, and the measured one is called `measured_parallax` if it is there, unless the
    /// parallax is a column that the run was told to keep.
    ///
    /// # Errors
    /// When a named column is absent, there is neither a parallax nor something of the spectrum, identifiers
    /// are missing, or an apparent magnitude would be used without an extinction.
    pub fn find(&self, table: &Table, options: &DistanceOptions) -> Result<FoundColumns> {
        let found = self.located(table)?;
        found.check(options)?;
        Ok(found)
    }

    /// Finds identifiers, astrometry and positions alone: magnitudes and what the labels say of a star come
    /// by its neighbours ([`super::neighbours`]).
    ///
    /// # Errors
    /// When a named column is absent, or identifiers or errors of parallaxes are missing.
    pub fn find_astrometry(&self, table: &Table) -> Result<FoundColumns> {
        let none = || NONE.to_owned();
        let astrometry = Self {
            magnitude: none(),
            magnitude_error: none(),
            extinction: none(),
            extinction_error: none(),
            absolute_magnitude: none(),
            absolute_magnitude_error: none(),
            ln_label: none(),
            ln_label_error: none(),
            spectroscopic_parallax: none(),
            spectroscopic_parallax_error: none(),
            single_fraction: none(),
            binary_offset: none(),
            single_scatter: none(),
            binary_scatter: none(),
            ..self.clone()
        };
        let found = astrometry.located(table)?;
        found.check_astrometry()?;
        Ok(found)
    }

    fn located(&self, table: &Table) -> Result<FoundColumns> {
        // What a run was told to keep is measured: its model has no parallax (a direct network).
        let keeps = |name: &str| table.metadata_of("kept_columns").is_some_and(|kept| kept.split(',').any(|kept| kept == name));
        let is_fit = table.metadata_of("command").is_some_and(|command| command == "fit") && !keeps("parallax");
        let mut found = FoundColumns { coefficient: self.extinction_coefficient, ..FoundColumns::default() };
        for (key, given, candidates) in self.keys() {
            let candidates: &[&str] = match (is_fit, key) {
                (true, "parallax") => &["measured_parallax"],
                (true, "parallax_error") => &["measured_parallax_error"],
                (true, "spectroscopic_parallax") => &["parallax"],
                (true, "spectroscopic_parallax_error") => &["parallax_error"],
                _ => candidates,
            };
            let name = match given {
                NONE => continue,
                ROW if key == "source_id" => Some(ROW.to_owned()),
                "" => candidates.iter().find_map(|name| of_name(table, name)),
                name => {
                    table.column(name).map_err(|error| error.within(format!("columns.{key}")))?;
                    Some(name.to_owned())
                }
            };
            found.names.extend(name.map(|name| (key, name)));
        }
        found.content = found.name("spectroscopic_parallax").filter(|_| is_fit).map(|name| content_of_fit(table, name));
        found.is_dereddened = self.extinction == NONE;
        Ok(found)
    }
}

/// The column of that name in any case.
fn of_name(table: &Table, name: &str) -> Option<String> {
    table.get_in_any_case(name).map(|column| column.schema.name.clone())
}

/// What the fitted parallax in a column of a fit's catalogue is made of. Where the catalogue does not say
/// whether the measured one constrained it, that is taken for so, because then nothing is counted twice.
fn content_of_fit(table: &Table, name: &str) -> ParallaxContent {
    match was_constraint(table, &[name, model::Role::Distance.name()]) {
        Some(false) => ParallaxContent::Flux,
        Some(true) | None => ParallaxContent::FluxAndParallax,
    }
}

/// The error of a column that is not there.
fn missing(key: &str, expected: &str, remedy: &str) -> Result<()> {
    Err(Error::usage(format!("columns.{key}")).found("no such column").expected(expected).remedy(remedy))
}

impl FoundColumns {
    /// The column of a key.
    pub fn name(&self, key: &str) -> Option<&str> {
        self.names.iter().find(|(found, _)| *found == key).map(|(_, name)| name.as_str())
    }

    fn has(&self, key: &str) -> bool {
        self.name(key).is_some()
    }

    /// Whether every star has a mixture of its own.
    fn has_mixtures(&self) -> bool {
        MIXTURE.iter().all(|key| self.has(key))
    }

    /// What the zero point needs and the file has not.
    pub fn missing_for_zero_point(&self, choice: &ZeroPointChoice) -> Vec<&'static str> {
        if *choice != ZeroPointChoice::Lindegren2021 || !self.has("parallax") {
            return Vec::new();
        }
        let has_latitude = self.has("ecl_lat") || self.has("ra") && self.has("dec");
        let has_colour = self.has("nu_eff_used_in_astrometry") || self.has("pseudocolour");
        let needed = [
            ("astrometric_params_solved", self.has("astrometric_params_solved")),
            ("phot_g_mean_mag", self.has("phot_g_mean_mag")),
            ("nu_eff_used_in_astrometry or pseudocolour", has_colour),
            ("ecl_lat", has_latitude),
        ];
        needed.into_iter().filter(|(_, is_there)| !is_there).map(|(key, _)| key).collect()
    }

    fn check_astrometry(&self) -> Result<()> {
        if !self.has("source_id") {
            let remedy = "Name it in the recipe, or say source_id = \"row\" for the number of the row.";
            return missing("source_id", "an integer column of identifiers", remedy);
        }
        if self.has("parallax") && !self.has("parallax_error") {
            return missing("parallax_error", "errors of the parallaxes", "Name the column, or say parallax = \"none\".");
        }
        Ok(())
    }

    fn check(&self, options: &DistanceOptions) -> Result<()> {
        self.check_astrometry()?;
        let lacking = MIXTURE.iter().find(|key| !self.has(key)).filter(|_| MIXTURE.iter().any(|key| self.has(key)));
        if let Some(key) = lacking {
            let remedy = "Name all four, or say \"none\" of those that are there.";
            return missing(key, &format!("{} together", MIXTURE.join(", ")), remedy);
        }
        if self.has("spectroscopic_parallax") {
            return match self.has("spectroscopic_parallax_error") {
                true => Ok(()),
                false => missing("spectroscopic_parallax_error", "errors of the spectroscopic parallaxes", "Name the column."),
            };
        }
        if !self.has("absolute_magnitude") && !self.has("ln_label") {
            return match self.has("parallax") {
                true => Ok(()),
                false => missing("parallax", "a parallax, or a predicted absolute magnitude", "Name the columns in the recipe."),
            };
        }
        if !self.has("magnitude") {
            return missing(
                "magnitude",
                "apparent magnitudes in the band of the absolute ones",
                "Name the column in the recipe.",
            );
        }
        if !self.has("extinction") && !self.is_dereddened {
            let remedy = "Name the column (with extinction_coefficient where it is a reddening), or say extinction = \"none\" for \
                          magnitudes that are dereddened.";
            return missing("extinction", "the extinction in the band of the magnitudes", remedy);
        }
        let has_error = self.has("absolute_magnitude_error") || self.has("ln_label_error") || self.has_mixtures();
        if !has_error && options.error_model.intrinsic == 0.0 && options.error_model.at_snr_100 == 0.0 {
            let remedy =
                "Name the column, or give [options.error_model] the scatter (`photosphere distance --calibrate` finds it).";
            return missing("absolute_magnitude_error", "errors of the absolute magnitudes", remedy);
        }
        Ok(())
    }

    /// The numbers of a key in a unit, NaN where there is none, ∞ where they are beyond reason.
    fn numbers(&self, table: &Table, key: &str, quantity: &Quantity, role: Role, rows: &mut Rows) -> Result<Vec<f64>> {
        let Some(name) = self.name(key) else { return Ok(vec![f64::NAN; table.n_rows()]) };
        let partner = key.strip_suffix("_error").and_then(|key| table.get(self.name(key)?));
        let partner = partner.map(|column| column.schema.unit.clone());
        let column = table.column(name)?.clone();
        quantity.read_from(column, role, partner.as_deref(), rows.first, rows.notices)?.to_f64()
    }

    /// The stars of a part of the file that begins with its row `first`.
    ///
    /// # Errors
    /// When a column is no scalar of numbers, or its unit measures something else.
    pub fn stars(&self, table: &Table, first: usize, notices: &mut Notices) -> Result<Vec<Star>> {
        let rows = &mut Rows { first, notices };
        let plain = |unit: Option<&str>, range: [f64; 2]| Quantity {
            name: String::new(),
            unit: unit.map(str::to_owned),
            range,
            needs_unit: false,
            sentinel: None,
        };
        let mas = Quantity::of("parallax");
        let magnitude = plain(Some("mag"), [-40.0, 60.0]);
        let number = plain(None, [-1e15, 1e15]);
        let mut pair = |key: &'static str, error_key: &'static str, quantity: &Quantity| -> Result<Vec<Measured>> {
            let values = self.numbers(table, key, quantity, Role::Value, rows)?;
            let errors = self.numbers(table, error_key, quantity, Role::Error, rows)?;
            Ok(values.into_iter().zip(errors).map(|(value, error)| Measured { value, error }).collect())
        };
        let parallax = pair("parallax", "parallax_error", &mas)?;
        let spectroscopic = pair("spectroscopic_parallax", "spectroscopic_parallax_error", &mas)?;
        let apparent = pair("magnitude", "magnitude_error", &magnitude)?;
        let extinction = pair("extinction", "extinction_error", &Quantity::of("extinction"))?;
        let absolute = pair("absolute_magnitude", "absolute_magnitude_error", &magnitude)?;
        let label = pair("ln_label", "ln_label_error", &plain(None, [-20.0, 30.0]))?;
        let mut single = |key: &str, quantity: &Quantity| self.numbers(table, key, quantity, Role::Value, rows);
        let [ra, dec] = [single("ra", &Quantity::of("ra"))?, single("dec", &Quantity::of("dec"))?];
        let latitude = single("ecl_lat", &plain(Some("deg"), [-90.0, 90.0]))?;
        // One column may be both, and what is said of it is said once.
        let g_magnitude = match self.name("phot_g_mean_mag") == self.name("magnitude") {
            true => apparent.iter().map(|magnitude| magnitude.value).collect(),
            false => single("phot_g_mean_mag", &magnitude)?,
        };
        let solved = single("astrometric_params_solved", &number)?;
        let wavenumber = plain(Some("um**-1"), [-1e3, 1e3]);
        let [effective, pseudocolour] = ["nu_eff_used_in_astrometry", "pseudocolour"].map(|key| single(key, &wavenumber));
        let [effective, pseudocolour] = [effective?, pseudocolour?];
        let [ruwe, snr] = [single("ruwe", &number)?, single("snr", &number)?];
        let fraction = single("single_fraction", &number)?;
        let difference = plain(Some("mag"), [0.0, 100.0]);
        let [offset, of_single, of_pair] =
            ["binary_offset", "single_scatter", "binary_scatter"].map(|key| single(key, &difference));
        let [offset, of_single, of_pair] = [offset?, of_single?, of_pair?];
        let mixture = |row: usize| StarMixture {
            single_fraction: fraction[row],
            offset: offset[row],
            scatters: [of_single[row], of_pair[row]],
        };
        let has_mixtures = self.has_mixtures();
        let scaled = |number: Measured, factor: f64| Measured { value: factor * number.value, error: factor * number.error };
        let star = |row: usize| Star {
            astrometry: Astrometry {
                params_solved: solved[row],
                g_magnitude: g_magnitude[row],
                effective_wavenumber: effective[row],
                pseudocolour: pseudocolour[row],
                ecliptic_latitude: latitude[row],
            },
            parallax: parallax[row],
            ruwe: ruwe[row],
            position: [ra[row], dec[row]],
            magnitude: apparent[row],
            extinction: match self.is_dereddened {
                true => Measured { value: 0.0, error: f64::NAN },
                false => scaled(extinction[row], self.coefficient),
            },
            magnitude_covariance: 0.0,
            absolute_magnitude: match self.has("absolute_magnitude") {
                _ if has_mixtures && !mixture(row).is_possible() => mixture(row).unusable(),
                true => absolute[row],
                false => scaled(label[row], LN_DISTANCE_PER_MAGNITUDE.recip()),
            },
            mixture: has_mixtures.then(|| mixture(row)).filter(StarMixture::is_possible),
            spectroscopic_parallax: spectroscopic[row],
            snr: snr[row],
        };
        Ok((0..table.n_rows()).map(star).collect())
    }

    /// The column of identifiers; `None` where the number of the row is one.
    pub fn identifier_column(&self) -> Option<&str> {
        self.name("source_id").filter(|name| *name != ROW)
    }
}

struct Rows<'a> {
    first: usize,
    notices: &'a mut Notices,
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
