//! Standard sets of bands: wavelengths and zero-points of spec 1 (Zhang, Green & Rix 2023, sec. 2; Green et
//! al. 2021).

use super::{CrowdingCut, MagnitudeSystem, PhotometricBand};

/// Name, wavelength (nm) and m_AB − m_Vega (mag).
type Entry = (&'static str, f64, Option<f64>);

const TWO_MASS: [Entry; 3] = [("j", 1235.0, Some(0.91)), ("h", 1662.0, Some(1.39)), ("ks", 2159.0, Some(1.85))];
const WISE: [Entry; 2] = [("w1", 3352.6, Some(2.699)), ("w2", 4602.8, Some(3.339))];
/// The optical bands' zero-points are left at AB: a constant per band is absorbed by the emulator.
const OPTICAL: [Entry; 8] = [
    ("g", 621.8, None),
    ("bp", 511.0, None),
    ("rp", 776.9, None),
    ("ps_g", 481.1, None),
    ("ps_r", 615.6, None),
    ("ps_i", 750.4, None),
    ("ps_z", 866.8, None),
    ("ps_y", 961.3, None),
];
/// WISE magnitudes of the LAMOST overlap sample (Green et al. 2021), which are AB.
const WISE_AB: [Entry; 2] = [("w1", 3352.6, None), ("w2", 4602.8, None)];

/// The names that [`standard_set`] knows.
pub fn standard_set_names() -> [&'static str; 3] {
    ["2mass", "wise", "lamost-overlap"]
}

/// A standard set of bands, if there is one of that name. The columns are `<band>_mag` and
/// `<band>_mag_error`.
///
/// * `2mass`: j, h, ks (Vega), dropped where `norm_dg` > −5;
/// * `wise`: w1, w2 (Vega), dropped where `norm_dg` > −10;
/// * `lamost-overlap`: the 13 bands of the overlap of Green et al. (2021): Gaia, Pan-STARRS 1, 2MASS (Vega)
///   and WISE (AB), whose published errors already contain a floor of 0.02 mag.
pub fn standard_set(name: &str) -> Option<Vec<PhotometricBand>> {
    let bands = |entries: &[Entry], limit: Option<f64>| entries.iter().map(|entry| band(entry, limit)).collect::<Vec<_>>();
    match name {
        "2mass" => Some(bands(&TWO_MASS, Some(-5.0))),
        "wise" => Some(bands(&WISE, Some(-10.0))),
        "lamost-overlap" => Some([bands(&OPTICAL, None), bands(&TWO_MASS, None), bands(&WISE_AB, None)].concat()),
        _ => None,
    }
}

fn band(&(name, wavelength, vega): &Entry, crowding_limit: Option<f64>) -> PhotometricBand {
    PhotometricBand {
        name: name.into(),
        wavelength,
        system: vega.map_or(MagnitudeSystem::Ab, MagnitudeSystem::Vega),
        offset: 0.0,
        magnitude_column: format!("{name}_mag"),
        error_column: format!("{name}_mag_error"),
        error_floor: 0.0,
        included_error_floor: None,
        crowding: crowding_limit.map(|limit| CrowdingCut { column: "norm_dg".into(), limit }),
        sentinel: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_valid_and_the_overlap_has_13_bands() {
        for name in standard_set_names() {
            assert!(standard_set(name).unwrap().iter().all(|band| band.validate().is_ok()), "{name}");
        }
        assert_eq!(standard_set("lamost-overlap").unwrap().len(), 13);
        assert_eq!(standard_set("ukidss"), None);
    }

    #[test]
    fn bands_are_written_and_read_as_toml() {
        let band = standard_set("wise").unwrap().remove(0);
        let text = toml::to_string(&band).unwrap();
        assert!(text.contains("vega = 2.699"), "{text}");
        assert_eq!(toml::from_str::<PhotometricBand>(&text).unwrap(), band);
        assert!(toml::from_str::<PhotometricBand>(&text.replace("error_floor", "error_flor")).is_err());
    }
}
