//! What a recipe says of neighbours.

use super::bands::{Band, default_bands};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The name that says that there is no such column.
pub(super) const NONE: &str = "none";
/// The label in whose logarithm stars are compared, and on which extinctions depend.
pub(super) const TEMPERATURE: &str = "teff";
/// The label on which extinctions depend too.
pub(super) const METALLICITY: &str = "feh";

/// A label by which stars are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The quantity; `teff` is compared by its logarithm.
    pub name: String,
    /// Its column; an empty one is of the same name.
    #[serde(default)]
    pub column: String,
    /// The column of errors; an empty one is found, `none` says that labels are exact.
    #[serde(default)]
    pub error: String,
    /// The difference that counts as one: about that by which labels err. Of `teff` one of ln T_eff.
    pub scale: f64,
}

/// The reddening by which controls are chosen and dereddened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReddeningMap {
    /// Column of E(B−V); an empty one is found by the names that surveys use.
    pub column: String,
    /// Column of its errors; an empty one is found, `none` is not there.
    pub error: String,
    /// What the column is multiplied by: 0.86 for the map of Schlegel, Finkbeiner & Davis 1998 (Schlafly &
    /// Finkbeiner 2011).
    pub scale: f64,
    /// Without a column of errors: part of the reddening (SFD98 state 16 %) …
    pub relative_error: f64,
    /// … and what is added to it in quadrature, mag.
    pub absolute_error: f64,
}

impl Default for ReddeningMap {
    fn default() -> Self {
        Self { column: String::new(), error: String::new(), scale: 0.86, relative_error: 0.16, absolute_error: 0.005 }
    }
}

/// Options of [`super::Neighbours`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeighbourOptions {
    /// How many neighbours a star is compared with.
    pub controls: usize,
    /// With fewer of them nothing is estimated.
    pub least_controls: usize,
    /// In scales of the labels, beyond which the nearest control is flagged as far.
    pub farthest_control: f64,
    /// In scales of the labels, beyond which the error of a label is flagged: colours and magnitudes are
    /// taken as straight lines over it, and the errors of what comes of them are too small.
    pub largest_label_error: f64,
    /// Least |b| of controls of colours, deg; 0 does not look at positions.
    pub least_latitude: f64,
    /// Greatest E(B−V) of controls of colours by the map, which has to be known to half of that, mag.
    pub largest_reddening: f64,
    /// Least ϖ/σ of controls with parallaxes. A cut makes them too near and M too faint for stars of poor
    /// parallaxes (Lutz & Kelker 1973); without one (−∞ by default) the likelihood takes all parallaxes,
    /// negative ones too.
    pub least_parallax_over_error: f64,
    /// Added in quadrature to errors of magnitudes, mag; all of it where there is no column of errors.
    pub magnitude_error_floor: f64,
    /// Probability of χ² of the colours below which they are flagged.
    pub least_probability: f64,
    /// A₀/E(B−V).
    pub r_v: f64,
    /// In which bands absolute magnitudes are sought: a star has that of the first in which it has a
    /// magnitude.
    pub luminosity_bands: Vec<String>,
    pub map: ReddeningMap,
    pub labels: Vec<Label>,
    /// In rising order of wavelength: colours are differences of neighbours in it.
    pub bands: Vec<Band>,
}

impl Default for NeighbourOptions {
    fn default() -> Self {
        let label = |name: &str, scale| Label { name: name.into(), column: String::new(), error: String::new(), scale };
        Self {
            controls: 100,
            least_controls: 30,
            farthest_control: 2.0,
            largest_label_error: 2.0,
            least_latitude: 30.0,
            largest_reddening: 0.1,
            least_parallax_over_error: f64::NEG_INFINITY,
            magnitude_error_floor: 0.01,
            least_probability: 0.001,
            r_v: 3.1,
            luminosity_bands: vec!["g".into(), "ks".into()],
            map: ReddeningMap::default(),
            labels: vec![label(TEMPERATURE, 0.02), label("logg", 0.2), label(METALLICITY, 0.15)],
            bands: default_bands(),
        }
    }
}

impl NeighbourOptions {
    /// Whether all numbers are possible.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self) -> Result<()> {
        let refuse = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("neighbours.{key}")).found(found).expected(expected))
        };
        let least = 2 * (self.labels.len() + 1);
        if self.least_controls < least {
            let expected = format!("at least {least}, twice the numbers of a local linear regression in the labels");
            return refuse("least_controls", self.least_controls.to_string(), &expected);
        }
        if self.controls < self.least_controls || self.controls > 10_000 {
            return refuse("controls", self.controls.to_string(), "from least_controls to 10000");
        }
        for (key, value, range, expected) in [
            ("farthest_control", self.farthest_control, [0.0, 1e3], "from 0 to 1000"),
            ("largest_label_error", self.largest_label_error, [0.0, 1e3], "from 0 to 1000"),
            ("least_latitude", self.least_latitude, [0.0, 90.0], "from 0 to 90 deg"),
            ("largest_reddening", self.largest_reddening, [0.0, 10.0], "from 0 to 10 mag"),
            ("magnitude_error_floor", self.magnitude_error_floor, [1e-5, 1.0], "from 0.00001 to 1 mag"),
            ("least_probability", self.least_probability, [0.0, 1.0], "from 0 to 1"),
            ("r_v", self.r_v, [1.0, 10.0], "from 1 to 10"),
            ("map.scale", self.map.scale, [0.01, 100.0], "from 0.01 to 100"),
            ("map.relative_error", self.map.relative_error, [0.0, 10.0], "from 0 to 10"),
            ("map.absolute_error", self.map.absolute_error, [0.0, 10.0], "from 0 to 10 mag"),
        ] {
            if !(range[0]..=range[1]).contains(&value) {
                return refuse(key, value.to_string(), expected);
            }
        }
        if self.least_parallax_over_error.is_nan() || self.least_parallax_over_error == f64::INFINITY {
            return refuse("least_parallax_over_error", self.least_parallax_over_error.to_string(), "a number, or -inf for none");
        }
        self.validate_names()
    }

    fn validate_names(&self) -> Result<()> {
        let refuse = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("neighbours.{key}")).found(found).expected(expected))
        };
        let names: BTreeSet<&str> = self.labels.iter().map(|label| label.name.as_str()).collect();
        if !names.contains(TEMPERATURE) || names.len() < self.labels.len() || self.labels.len() > 12 {
            let found: Vec<&str> = self.labels.iter().map(|label| label.name.as_str()).collect();
            return refuse("labels", found.join(", "), "teff and at most eleven other labels, each once");
        }
        for label in &self.labels {
            if !(label.scale > 0.0 && label.scale.is_finite()) {
                return refuse("labels", format!("scale = {} of {}", label.scale, label.name), "a positive number");
            }
        }
        let bands: BTreeSet<&str> = self.bands.iter().map(|band| band.name.as_str()).collect();
        if bands.len() < self.bands.len() || bands.len() < 2 || bands.len() > 32 {
            return refuse("bands", format!("{} bands, {} names", self.bands.len(), bands.len()), "2 to 32 bands, each once");
        }
        for band in &self.bands {
            let numbers = [band.temperature.as_slice(), &band.extinction, &band.mixed, &[band.metallicity]].concat();
            if numbers.iter().any(|number| !number.is_finite() || number.abs() > 1e3) {
                return refuse("bands", format!("the numbers of {}", band.name), "finite numbers below 1000");
            }
        }
        match self.luminosity_bands.iter().find(|name| !bands.contains(name.as_str())) {
            Some(name) => refuse("luminosity_bands", name.clone(), "names of bands of the recipe"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_impossible_is_refused_by_its_key() {
        NeighbourOptions::default().validate().unwrap();
        for (text, key) in [
            ("controls = 10", "neighbours.controls"),
            ("least_controls = 3", "neighbours.least_controls"),
            ("r_v = nan", "neighbours.r_v"),
            ("least_parallax_over_error = nan", "neighbours.least_parallax_over_error"),
            ("luminosity_bands = [\"v\"]", "neighbours.luminosity_bands"),
            ("labels = [{ name = \"logg\", scale = 0.1 }]", "neighbours.labels"),
            ("labels = [{ name = \"teff\", scale = 0.0 }]", "neighbours.labels"),
            ("bands = [{ name = \"g\", temperature = [1.0, 0.0, 0.0, 0.0] }]", "neighbours.bands"),
            ("map = { scale = -1.0 }", "neighbours.map.scale"),
        ] {
            let options: NeighbourOptions = toml::from_str(text).unwrap();
            let error = options.validate().unwrap_err().to_string();
            assert!(error.starts_with(key), "{text}: {error}");
        }
        assert!(toml::from_str::<NeighbourOptions>("control = 10").is_err());
    }
}
