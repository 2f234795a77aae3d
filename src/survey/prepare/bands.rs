//! The photometric bands of a preparation: standard sets, what replaces single bands of them, their order and
//! offsets.

use super::recipe::{REMEDY, is_default};
use crate::error::{Error, Result};
use crate::survey::photometry::{PhotometricBand, standard_set, standard_set_names};
use crate::text::first_repeated;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The photometric bands: standard sets, then bands that the recipe spells out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhotometrySource {
    /// Names of standard sets: `2mass`, `wise`, `lamost-overlap`.
    pub sets: Vec<String>,
    /// Further bands; one with the name of a band of the sets takes its place.
    pub bands: Vec<PhotometricBand>,
    /// Names of the bands to use, in the order of the flux; all, in the order above, where it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// Added to the magnitudes, in mag, by band: what brings one photometric system to another.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offsets: BTreeMap<String, f64>,
    /// Taken off the errors of magnitudes in quadrature, in mag, of all bands that state none of their own: a
    /// floor that their table has added, which is no noise of a star and makes the errors of fits too large.
    #[serde(skip_serializing_if = "is_default")]
    pub included_error_floor: f64,
    /// Whether crowding cuts apply; they need their column (`norm_dg`).
    pub crowding: bool,
}

impl Default for PhotometrySource {
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            bands: Vec::new(),
            order: Vec::new(),
            offsets: BTreeMap::new(),
            included_error_floor: 0.0,
            crowding: true,
        }
    }
}

impl PhotometrySource {
    /// All bands, in the order of the flux.
    ///
    /// # Errors
    /// When a set is unknown, a band's definition impossible, or a band that is not there is named.
    pub fn bands(&self) -> Result<Vec<PhotometricBand>> {
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("prepare recipe, photometry.{key}")).found(found).expected(expected).remedy(REMEDY))
        };
        let mut bands = Vec::new();
        for name in &self.sets {
            bands.extend(standard_set(name).ok_or_else(|| {
                Error::usage("prepare recipe, photometry.sets")
                    .found(format!("'{name}'"))
                    .expected(standard_set_names().join(", "))
                    .remedy("Name one of these, or spell the bands out under photometry.bands.")
            })?);
        }
        let n_standard = bands.len();
        if let Some(name) = first_repeated(self.bands.iter().map(|band| band.name.as_str())) {
            return fault("bands", format!("'{name}' twice"), "distinct names");
        }
        for band in &self.bands {
            match bands[..n_standard].iter_mut().find(|standard| standard.name == band.name) {
                Some(standard) => *standard = band.clone(),
                None => bands.push(band.clone()),
            }
        }
        let names = bands.iter().map(|band| band.name.clone()).collect::<Vec<_>>();
        let expected = format!("names of its bands ({})", names.join(", "));
        if let Some(name) = self.order.iter().chain(self.offsets.keys()).find(|name| !names.contains(name)) {
            let key = if self.order.contains(name) { "order" } else { "offsets" };
            return fault(key, format!("'{name}'"), &expected);
        }
        if let Some(name) = first_repeated(self.order.iter().map(String::as_str)) {
            return fault("order", format!("'{name}' twice"), "distinct names");
        }
        if !self.order.is_empty() && first_repeated(names.iter().map(String::as_str)).is_none() {
            bands = self.order.iter().filter_map(|name| bands.iter().find(|band| band.name == *name)).cloned().collect();
        }
        for band in &mut bands {
            band.offset += self.offsets.get(&band.name).copied().unwrap_or(0.0);
            band.included_error_floor.get_or_insert(self.included_error_floor);
            band.validate()?;
            band.crowding = band.crowding.take().filter(|_| self.crowding);
        }
        Ok(bands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bands(text: &str) -> Result<Vec<PhotometricBand>> {
        toml::from_str::<PhotometrySource>(text).unwrap().bands()
    }

    #[test]
    fn a_set_can_be_reordered_and_its_bands_replaced_and_offset() {
        let replaced = "[[bands]]\nname = 'h'\nwavelength = 1630.0\nmagnitude_column = 'hmag'\nerror_column = 'e_hmag'\n";
        let found =
            bands(&format!("sets = ['2mass', 'wise']\norder = ['w1', 'h', 'j']\noffsets = {{ j = 0.03 }}\n{replaced}")).unwrap();
        assert_eq!(found.iter().map(|band| band.name.as_str()).collect::<Vec<_>>(), ["w1", "h", "j"]);
        assert_eq!((found[1].magnitude_column.as_str(), found[1].wavelength), ("hmag", 1630.0));
        // 0.03 mag fainter.
        let standard = standard_set("2mass").unwrap().remove(0);
        assert!((found[2].flux(12.0) / standard.flux(12.03) - 1.0).abs() < 1e-12);
        // In the place of the set's band, without an order.
        assert_eq!(bands(&format!("sets = ['2mass']\n{replaced}")).unwrap()[1].wavelength, 1630.0);
    }

    #[test]
    fn the_floor_of_a_table_is_that_of_all_bands_which_state_none_of_their_own() {
        let band = |name: &str, key: &str| {
            format!("[[bands]]\nname = '{name}'\nwavelength = 1630.0\nmagnitude_column = 'm'\nerror_column = 'e'\n{key}\n")
        };
        let (replaced, own) = (band("h", ""), band("z", "included_error_floor = 0.01"));
        for sets in ["sets = ['2mass']", "sets = []"] {
            let found = bands(&format!("{sets}\nincluded_error_floor = 0.02\n{replaced}{own}")).unwrap();
            for PhotometricBand { name, included_error_floor, .. } in &found {
                assert_eq!(*included_error_floor, Some(if name == "z" { 0.01 } else { 0.02 }), "{sets}, {name}");
            }
        }
    }

    #[test]
    fn bands_that_are_not_there_are_refused_by_name() {
        let band = "[[bands]]\nname = 'h'\nwavelength = 1630.0\nmagnitude_column = 'hmag'\nerror_column = 'e_hmag'\n";
        for (text, key) in [
            ("sets = ['wise']\norder = ['w3']", "photometry.order"),
            ("sets = ['wise']\norder = ['w1', 'w1']", "'w1' twice"),
            (&format!("sets = ['2mass']\n{band}{band}"), "photometry.bands: found 'h' twice"),
            ("sets = ['wise']\noffsets = { j = 0.1 }", "photometry.offsets"),
            ("sets = ['wise']\nincluded_error_floor = -0.02", "'w1', included_error_floor"),
            ("sets = ['wise']\noffsets = { w1 = inf }", "offset"),
            ("sets = ['wise']\noffsets = { w1 = -1000.0 }", "at most 20 mag"),
        ] {
            let error = bands(text).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(key), "{error}");
        }
    }
}
