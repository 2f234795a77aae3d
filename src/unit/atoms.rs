//! The names of units and prefixes.

use super::dimensions::{Base, Dimensions};
use Base::{
    Ampere, Bit, Candela, Count, Electron, Kelvin, Kilogram, Maggy, Magnitude, Metre, Mole, Photon, Pixel, Radian, Second,
};
use std::f64::consts::PI;

/// A named unit: factor in base units, dimensions, and whether prefixes may stand before its name.
struct Atom {
    names: &'static [&'static str],
    factor: f64,
    bases: &'static [(Base, i8)],
    takes_prefix: bool,
}

const fn plain(names: &'static [&'static str], factor: f64, bases: &'static [(Base, i8)]) -> Atom {
    Atom { names, factor, bases, takes_prefix: false }
}

const fn prefixed(names: &'static [&'static str], factor: f64, bases: &'static [(Base, i8)]) -> Atom {
    Atom { names, factor, bases, takes_prefix: true }
}

const POWER: &[(Base, i8)] = &[(Kilogram, 1), (Metre, 2), (Second, -3)];
const ENERGY: &[(Base, i8)] = &[(Kilogram, 1), (Metre, 2), (Second, -2)];
/// Spectral flux density per frequency.
const DENSITY: &[(Base, i8)] = &[(Kilogram, 1), (Second, -2)];
const DEGREE: f64 = PI / 180.0;
const ARCSECOND: f64 = DEGREE / 3600.0;
const AU: f64 = 1.495_978_707e11;
const DAY: f64 = 86_400.0;

/// IAU 2015 nominal values and CODATA 2018, as in astropy 8.
const ATOMS: &[Atom] = &[
    prefixed(&["m", "metre", "meter", "metres", "meters"], 1.0, &[(Metre, 1)]),
    prefixed(&["g", "gram", "grams"], 1e-3, &[(Kilogram, 1)]),
    prefixed(&["s", "sec", "second", "seconds"], 1.0, &[(Second, 1)]),
    prefixed(&["K", "kelvin", "Kelvin", "kelvins"], 1.0, &[(Kelvin, 1)]),
    plain(&["degK", "deg_K"], 1.0, &[(Kelvin, 1)]),
    prefixed(&["rad", "radian", "radians"], 1.0, &[(Radian, 1)]),
    prefixed(&["sr", "steradian"], 1.0, &[(Radian, 2)]),
    plain(&["deg", "degree", "degrees", "degs", "°"], DEGREE, &[(Radian, 1)]),
    plain(&["arcmin", "arcminute", "arcminutes", "arcmins", "amin", "'", "′"], 60.0 * ARCSECOND, &[(Radian, 1)]),
    prefixed(&["arcsec", "arcsecond", "arcseconds", "arcsecs", "asec", "\"", "″"], ARCSECOND, &[(Radian, 1)]),
    plain(&["mas"], 1e-3 * ARCSECOND, &[(Radian, 1)]),
    plain(
        &["uas", "µas", "muas", "microas", "microarcsecond", "microarcseconds", "microarcsecs"],
        1e-6 * ARCSECOND,
        &[(Radian, 1)],
    ),
    plain(&["hourangle"], 15.0 * DEGREE, &[(Radian, 1)]),
    plain(&["Angstrom", "angstrom", "Angstroms", "angstroms", "Ang", "ang", "AA", "Å"], 1e-10, &[(Metre, 1)]),
    // Milliångströms are the unit of equivalent widths.
    plain(&["A"], 1e-10, &[(Metre, 1)]),
    plain(&["mA", "mAA", "mÅ"], 1e-13, &[(Metre, 1)]),
    plain(&["micron", "microns"], 1e-6, &[(Metre, 1)]),
    plain(&["au", "AU", "ua"], AU, &[(Metre, 1)]),
    prefixed(&["pc", "parsec", "parsecs"], AU / ARCSECOND, &[(Metre, 1)]),
    prefixed(&["ly", "lyr", "lightyear"], 9.460_730_472_580_8e15, &[(Metre, 1)]),
    plain(&["min", "minute", "minutes"], 60.0, &[(Second, 1)]),
    plain(&["h", "hr", "hour", "hours"], 3600.0, &[(Second, 1)]),
    plain(&["d", "day", "days"], DAY, &[(Second, 1)]),
    prefixed(&["yr", "a", "year", "years", "annum"], 365.25 * DAY, &[(Second, 1)]),
    prefixed(&["Hz", "hertz", "Hertz"], 1.0, &[(Second, -1)]),
    prefixed(&["J", "joule", "Joule", "joules"], 1.0, ENERGY),
    prefixed(&["erg", "ergs"], 1e-7, ENERGY),
    prefixed(&["eV", "electronvolt"], 1.602_176_634e-19, ENERGY),
    prefixed(&["W", "watt", "Watt", "watts"], 1.0, POWER),
    prefixed(&["N", "newton"], 1.0, &[(Kilogram, 1), (Metre, 1), (Second, -2)]),
    prefixed(&["dyn", "dyne"], 1e-5, &[(Kilogram, 1), (Metre, 1), (Second, -2)]),
    prefixed(&["Pa", "pascal"], 1.0, &[(Kilogram, 1), (Metre, -1), (Second, -2)]),
    prefixed(&["Jy", "jansky", "Jansky"], 1e-26, DENSITY),
    plain(&["AB", "ABflux"], 3631e-26, DENSITY),
    plain(&["ampere", "amp"], 1.0, &[(Ampere, 1)]),
    prefixed(&["G", "Gauss", "gauss"], 1e-4, &[(Kilogram, 1), (Second, -2), (Ampere, -1)]),
    prefixed(&["T", "tesla"], 1.0, &[(Kilogram, 1), (Second, -2), (Ampere, -1)]),
    prefixed(&["mol", "mole"], 1.0, &[(Mole, 1)]),
    plain(&["cd", "candela"], 1.0, &[(Candela, 1)]),
    plain(&["solMass", "Msun", "M_sun", "Msol", "M⊙", "M☉", "M_☉"], 1.988_409_870_698_051e30, &[(Kilogram, 1)]),
    plain(&["solRad", "Rsun", "R_sun", "Rsol", "R⊙", "R☉", "R_☉"], 6.957e8, &[(Metre, 1)]),
    plain(&["solLum", "Lsun", "L_sun", "Lsol", "L⊙", "L☉", "L_☉"], 3.828e26, POWER),
    plain(&["jupiterMass", "Mjup", "M_jup"], 1.898_124_597_479_967_1e27, &[(Kilogram, 1)]),
    plain(&["earthMass", "Mearth", "M_earth"], 5.972_167_867_791_379e24, &[(Kilogram, 1)]),
    prefixed(&["mag", "mags", "magnitude", "magnitudes"], 1.0, &[(Magnitude, 1)]),
    prefixed(&["ct", "cts", "count", "counts", "adu", "ADU", "DN", "dn"], 1.0, &[(Count, 1)]),
    plain(&["electron", "electrons", "e-", "e"], 1.0, &[(Electron, 1)]),
    plain(&["photon", "photons", "ph"], 1.0, &[(Photon, 1)]),
    prefixed(&["pix", "pixel", "pixels"], 1.0, &[(Pixel, 1)]),
    prefixed(&["bit", "bits", "b"], 1.0, &[(Bit, 1)]),
    prefixed(&["byte", "bytes", "B"], 8.0, &[(Bit, 1)]),
    prefixed(&["maggy", "maggies", "mgy"], 1.0, &[(Maggy, 1)]),
    plain(&["%", "percent"], 0.01, &[]),
    plain(&["Sun", "Solar", "solar"], 1.0, &[]),
    plain(&["ppm"], 1e-6, &[]),
];

const PREFIXES: &[(&str, f64)] = &[
    ("da", 1e1),
    ("h", 1e2),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Z", 1e21),
    ("Y", 1e24),
    ("d", 1e-1),
    ("c", 1e-2),
    ("m", 1e-3),
    ("u", 1e-6),
    ("µ", 1e-6),
    ("n", 1e-9),
    ("p", 1e-12),
    ("f", 1e-15),
    ("a", 1e-18),
    ("z", 1e-21),
    ("y", 1e-24),
    ("centi", 1e-2),
    ("milli", 1e-3),
    ("micro", 1e-6),
    ("nano", 1e-9),
    ("kilo", 1e3),
    ("mega", 1e6),
    ("giga", 1e9),
];

/// Factor and dimensions of a name, with or without a prefix; where there is none of that name, of its
/// lower-case form, because some files write `ERG` and `MAG`.
pub(super) fn find(name: &str) -> Option<(f64, Dimensions)> {
    exact(name).or_else(|| {
        let lower = name.to_lowercase();
        if lower == name { None } else { exact(&lower) }
    })
}

fn exact(name: &str) -> Option<(f64, Dimensions)> {
    let of = |atom: &Atom, prefix: f64| (prefix * atom.factor, Dimensions::of(atom.bases));
    if let Some(atom) = ATOMS.iter().find(|atom| atom.names.contains(&name)) {
        return Some(of(atom, 1.0));
    }
    PREFIXES.iter().find_map(|(prefix, factor)| {
        let rest = name.strip_prefix(prefix)?;
        ATOMS.iter().find(|atom| atom.takes_prefix && atom.names.contains(&rest)).map(|atom| of(atom, *factor))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_stands_once() {
        let mut seen = BTreeSet::new();
        for name in ATOMS.iter().flat_map(|atom| atom.names) {
            assert!(seen.insert(name), "{name}");
        }
    }
}
