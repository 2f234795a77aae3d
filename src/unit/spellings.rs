//! What is written for units, and what it is.

use super::{Conversion, Scale, Unit, ZeroPoint, conversion, factor, is_absent, parse};

/// Text, target, and `u.Unit(text, format=…).to(u.Unit(target))` of astropy.units 8.0.2 with the format named
/// behind it. The greatest difference found is 1e-14.
const BY_ASTROPY: &[(&str, &str, f64)] = &[
    ("mas", "mas", 1.0),                                                           // generic
    ("arcsec", "mas", 999.9999999999999),                                          // generic
    ("uas", "mas", 0.001),                                                         // generic
    ("µas", "mas", 0.001),                                                         // generic
    ("uarcsec", "mas", 0.001),                                                     // generic
    ("marcsec", "mas", 1.0),                                                       // generic
    ("10**-6 arcsec", "mas", 0.001),                                               // fits
    ("1e-06 arcsec", "mas", 0.001),                                                // generic
    ("deg", "mas", 3599999.9999999995),                                            // generic
    ("arcmin", "mas", 59999.99999999999),                                          // generic
    ("rad", "mas", 206264806.24709633),                                            // generic
    ("rad", "deg", 57.29577951308232),                                             // generic
    ("hourangle", "deg", 14.999999999999998),                                      // generic
    ("arcsec", "mas", 999.9999999999999),                                          // cds
    ("mas", "mas", 1.0),                                                           // vounit
    ("K", "K", 1.0),                                                               // generic
    ("kK", "K", 1000.0),                                                           // generic
    ("mK", "K", 0.001),                                                            // generic
    ("Kelvin", "K", 1.0),                                                          // generic
    ("10+3K", "K", 1000.0),                                                        // cds
    ("10**3 K", "K", 1000.0),                                                      // fits
    ("1000 K", "K", 1000.0),                                                       // generic
    ("mag", "mag", 1.0),                                                           // generic
    ("mmag", "mag", 0.001),                                                        // generic
    ("0.001 mag", "mag", 0.001),                                                   // generic
    ("mag", "mag", 1.0),                                                           // cds
    ("%", "", 0.01),                                                               // generic
    ("W / (nm m2)", "1e-18 W / (m2 nm)", 1e+18),                                   // generic
    ("1e-18 W / (m2 nm)", "1e-18 W / (m2 nm)", 1.0),                               // generic
    ("1e-15 erg / (Angstrom s cm2)", "1e-18 W / (m2 nm)", 10.000000000000002),     // generic
    ("10**-18 W.m**-2.nm**-1", "1e-18 W / (m2 nm)", 1.0),                          // vounit
    ("W.m**-2.nm**-1", "1e-18 W / (m2 nm)", 1e+18),                                // vounit
    ("10-17erg/s/cm2/Angstrom", "1e-18 W / (m2 nm)", 0.09999999999999999),         // cds
    ("1E-17 erg/cm^2/s/Angstrom", "1e-18 W / (m2 nm)", 0.09999999999999999),       // generic
    ("erg/s/cm2/AA", "1e-18 W / (m2 nm)", 1e+16),                                  // generic
    ("erg s-1 cm-2 Angstrom-1", "1e-18 W / (m2 nm)", 1e+16),                       // fits
    ("10**-17 erg s-1 cm-2 Angstrom-1", "1e-18 W / (m2 nm)", 0.09999999999999999), // fits
    ("erg.s**-1.cm**-2.Angstrom**-1", "1e-18 W / (m2 nm)", 1e+16),                 // vounit
    ("erg/(s.cm**2.Angstrom)", "1e-18 W / (m2 nm)", 1e+16),                        // vounit
    ("W/m**2/um", "1e-18 W / (m2 nm)", 1000000000000000.1),                        // generic
    ("mW.m-2.nm-1", "1e-18 W / (m2 nm)", 1000000000000000.0),                      // cds
    ("mW/m2/nm", "1e-18 W / (m2 nm)", 1000000000000000.0),                         // cds
    ("kW m-2 um-1", "1e-18 W / (m2 nm)", 1.0000000000000001e+18),                  // fits
    ("erg/s/cm**2/angstrom", "1e-18 W / (m2 nm)", 1e+16),                          // generic
    ("J / (s m3)", "1e-18 W / (m2 nm)", 1000000000.0000001),                       // generic
    ("10**-36 W**2.m**-4.nm**-2", "1e-36 W2 / (nm2 m4)", 1.0),                     // vounit
    ("1e-36 W2 / (nm2 m4)", "1e-36 W2 / (nm2 m4)", 1.0),                           // generic
    ("1e-30 erg2 / (Angstrom2 s2 cm4)", "1e-36 W2 / (nm2 m4)", 99.99999999999999), // generic
    ("W cm-2 um-1", "1e-18 W / (m2 nm)", 1.0000000000000002e+19),                  // fits
    ("m", "nm", 999999999.9999999),                                                // generic
    ("nm", "nm", 1.0),                                                             // generic
    ("um", "nm", 999.9999999999999),                                               // generic
    ("micron", "nm", 999.9999999999999),                                           // generic
    ("Angstrom", "nm", 0.1),                                                       // generic
    ("angstrom", "nm", 0.1),                                                       // generic
    ("AA", "nm", 0.1),                                                             // generic
    ("0.1nm", "nm", 0.1),                                                          // cds
    ("cm", "nm", 10000000.0),                                                      // generic
    ("Å", "nm", 0.1),                                                              // generic
    ("km/s", "m/s", 1000.0),                                                       // generic
    ("km.s-1", "m/s", 1000.0),                                                     // cds
    ("km s**-1", "m/s", 1000.0),                                                   // generic
    ("cm/s2", "m/s2", 0.01),                                                       // generic
    ("cm.s**-2", "m/s2", 0.01),                                                    // vounit
    ("mas/yr", "mas/yr", 1.0),                                                     // generic
    ("mas.yr**-1", "rad/s", 1.5362818500441604e-16),                               // vounit
    ("solMass", "kg", 1.988409870698051e+30),                                      // generic
    ("Msun", "kg", 1.988409870698051e+30),                                         // cds
    ("solRad", "m", 695700000.0),                                                  // cds
    ("solLum", "W", 3.828e+26),                                                    // generic
    ("pc", "m", 3.085677581491367e+16),                                            // generic
    ("kpc", "pc", 1000.0),                                                         // generic
    ("AU", "m", 149597870700.0),                                                   // generic
    ("lyr", "m", 9460730472580800.0),                                              // generic
    ("yr", "s", 31557600.0),                                                       // generic
    ("d", "s", 86400.0),                                                           // generic
    ("h", "s", 3600.0),                                                            // generic
    ("eV", "J", 1.602176634e-19),                                                  // generic
    ("Jy", "W m-2 Hz-1", 1e-26),                                                   // generic
    ("mJy", "Jy", 0.001),                                                          // generic
    ("uJy", "Jy", 1e-06),                                                          // generic
    ("nJy", "Jy", 1e-09),                                                          // generic
    ("erg/s/cm2/Hz", "Jy", 1e+23),                                                 // generic
    ("electron s-1", "electron/s", 1.0),                                           // generic
    ("electron/s", "electron/s", 1.0),                                             // generic
    ("ct/s", "ct/s", 1.0),                                                         // generic
    ("G", "T", 0.0001),                                                            // generic
    ("dyn/cm2", "Pa", 0.1),                                                        // generic
    ("arcsec2", "sr", 2.3504430539097885e-11),                                     // generic
    ("m(1/2)", "cm(1/2)", 10.0),                                                   // generic
    ("m^(3/2)", "cm(3/2)", 1000.0),                                                // generic
    ("erg / s cm2", "W/m2", 0.001),                                                // generic
    ("cm-2", "m-2", 10000.0),                                                      // cds
    ("10+21cm-2", "m-2", 1e+25),                                                   // cds
    ("1.5e-3 mag", "mag", 0.0015),                                                 // generic
];

/// Spectral flux density in the unit of this program's files.
const FLUX: &str = "10**-18 W.m**-2.nm**-1";

/// Text, target and factor by hand: spellings that astropy refuses, or reads otherwise (`A` as the ampere).
const BY_HAND: &[(&str, &str, f64)] = &[
    ("milliarcsec", "mas", 1.0),
    ("microarcsec", "mas", 1e-3),
    ("muas", "mas", 1e-3),
    ("microarcsecond", "mas", 1e-3),
    ("μas", "mas", 1e-3),
    ("MAS", "mas", 1.0),
    ("arcseconds", "mas", 1e3),
    ("\"", "mas", 1e3),
    ("degrees", "deg", 1.0),
    ("DEG", "deg", 1.0),
    ("°", "deg", 1.0),
    ("kelvin", "K", 1.0),
    ("KELVIN", "K", 1.0),
    ("MAG", "mag", 1.0),
    ("mags", "mag", 1.0),
    ("mmag(AB)", "mag", 1e-3),
    ("ABmag", "mag", 1.0),
    ("10^-15.erg.s^-1.cm^-2.A^-1", FLUX, 10.0),
    ("10-17erg/s/cm2/0.1nm", FLUX, 0.1),
    ("1E-17 erg/cm^2/s/Ang", FLUX, 0.1),
    ("10^(-17) ergs/cm^2/s/A", FLUX, 0.1),
    ("10**(-17) erg cm**(-2) s**(-1) A**(-1)", FLUX, 0.1),
    ("erg s^{-1} cm^{-2} Å^{-1}", FLUX, 1e16),
    ("erg s⁻¹ cm⁻² Å⁻¹", FLUX, 1e16),
    ("ERG/S/CM**2/ANGSTROM", FLUX, 1e16),
    ("1e-17 erg·s−1·cm−2·Å−1", FLUX, 0.1),
    ("'W'.m**-2.nm**-1", FLUX, 1e18),
    ("Å", "nm", 0.1),
    ("\u{212b}", "nm", 0.1),
    ("A", "nm", 0.1),
    ("Ang", "nm", 0.1),
    ("Angstroms", "nm", 0.1),
    ("mAA", "nm", 1e-4),
    ("microns", "nm", 1e3),
    ("nanometer", "nm", 1.0),
    ("nanomaggies", "nanomaggy", 1.0),
    ("nmgy", "maggy", 1e-9),
    ("'electron'.s**-1", "electron/s", 1.0),
    ("e-/s", "electron/s", 1.0),
    ("ADU", "ct", 1.0),
    ("M⊙", "solMass", 1.0),
    ("/s", "Hz", 1.0),
];

fn agree(rows: &[(&str, &str, f64)]) {
    for (text, target, expected) in rows {
        let found =
            factor(text, target).unwrap_or_else(|| panic!("'{text}' to '{target}': {:?} {:?}", parse(text), parse(target)));
        assert!((found / expected - 1.0).abs() < 1e-14, "'{text}' to '{target}': {found} {expected}");
    }
}

#[test]
fn spellings_have_the_factors_of_astropy() {
    assert!(BY_ASTROPY.len() + BY_HAND.len() >= 80);
    agree(BY_ASTROPY);
    agree(BY_HAND);
}

#[test]
fn powers_of_ten_are_exact() {
    for (from, to, exact) in
        [("arcsec", "mas", 1e3), ("uas", "mas", 1e-3), ("1e-15 erg / (Angstrom s cm2)", FLUX, 1e1), ("AA", "nm", 0.1)]
    {
        assert_eq!(factor(from, to), Some(exact), "{from}");
    }
    assert_eq!(conversion("1e-18 W / (nm m2)", FLUX), Some(Conversion::IDENTITY));
    assert_eq!(
        parse("1e-15 erg / (Angstrom s cm2)")
            .unwrap()
            .squared()
            .unwrap()
            .conversion(&parse("10**-36 W**2.m**-4.nm**-2").unwrap()),
        Some(Conversion { factor: 100.0, offset: 0.0 })
    );
}

/// astropy 8.0.2: `u.Unit("dex(m/s2)").to(u.Unit("dex(cm/s2)"), [0, 1])` is `[2, 3]`, and `u.Unit("[m/s2]",
/// format="cds")` the same.
#[test]
fn logarithms_of_units_differ_by_a_constant() {
    let to_gravity = |text: &str| conversion(text, "dex(cm/s2)");
    for text in [
        "dex(cm/s2)",
        "[cm/s2]",
        "log(cm.s**-2)",
        "log10(cm/s^2)",
        "log[cm/s^2]",
        "dex",
        "log cgs",
        "log(cgs)",
        "",
        "[-]",
        "dex (cm / s2)",
    ] {
        assert_eq!(to_gravity(text), Some(Conversion::IDENTITY), "{text}");
    }
    for text in ["dex(m/s2)", "[m/s2]", "log(m.s**-2)"] {
        assert_eq!(to_gravity(text), Some(Conversion { factor: 1.0, offset: 2.0 }), "{text}");
    }
    assert_eq!(conversion("[Sun]", "dex"), Some(Conversion::IDENTITY));
    for (from, to) in [
        ("cm/s2", "dex(cm/s2)"),
        ("[K]", "K"),
        ("K", "dex"),
        ("dex(K)", "dex(cm/s2)"),
        ("%", "dex"),
        ("mag", "dex"),
        ("dex", "mag"),
    ] {
        assert_eq!(conversion(from, to), None, "{from} to {to}");
    }
}

/// astropy 8.0.2: `u.deg_C.to(u.K, [0, 5500], equivalencies=u.temperature())` is `[273.15, 5773.15]`, and of
/// `imperial.deg_F` `[32, 9000]` are `[273.15, 5255.37222222]`.
#[test]
fn temperatures_of_another_zero_are_shifted() {
    for (text, pairs) in [
        ("deg_C", [(0.0, 273.15), (5500.0, 5773.15)]),
        ("Celsius", [(-273.15, 0.0), (5500.0, 5773.15)]),
        ("°C", [(0.0, 273.15), (1.0, 274.15)]),
        ("deg_F", [(32.0, 273.15), (9000.0, 5_255.372_222_22)]),
    ] {
        let (there, back) = (conversion(text, "K").unwrap(), conversion("K", text).unwrap());
        for (number, kelvin) in pairs {
            assert!((there.value(number) - kelvin).abs() < 1e-8 && (back.value(kelvin) - number).abs() < 1e-7, "{text}");
        }
        assert!((conversion(text, "kK").unwrap().value(pairs[1].0) - 1e-3 * pairs[1].1).abs() < 1e-10);
        assert_eq!(factor(text, "K"), None, "no factor alone makes one of the other");
        assert_eq!((conversion(text, text), parse(text).unwrap().squared()), (Some(Conversion::IDENTITY), None));
    }
    for text in ["deg_C/s", "deg_C2", "m deg_C", "dex(deg_C)"] {
        assert!(parse(text).is_err(), "a difference of temperatures, or a mistake: {text}");
    }
}

#[test]
fn magnitudes_may_state_their_zero_point() {
    for (text, zero_point) in [
        ("mag(AB)", ZeroPoint::Ab),
        ("ABmag", ZeroPoint::Ab),
        ("mmag(ST)", ZeroPoint::St),
        ("mag(Vega)", ZeroPoint::Vega),
        ("mag(ct/s)", ZeroPoint::Other),
    ] {
        let unit = parse(text).unwrap();
        assert_eq!((unit.scale, unit.zero_point()), (Scale::Magnitude(zero_point), Some(zero_point)));
    }
    assert_eq!(parse("mag").unwrap().zero_point(), None);
    assert_eq!(factor("mag / arcsec2", "mag"), None);
}

#[test]
fn what_does_not_measure_the_same_has_no_factor() {
    for (from, to) in [
        ("K", "mas"),
        ("arcmin2", "mas"),
        ("mas/yr", "mas"),
        ("mas", "mag"),
        ("ct/s", FLUX),
        ("electron/s", "ct/s"),
        ("Jy", FLUX),
        ("W/m2", FLUX),
        ("km/s", "nm"),
        ("", "mas"),
        ("nanomaggy", "Jy"),
    ] {
        assert_eq!(factor(from, to), None, "{from} to {to}");
    }
}

#[test]
fn texts_that_are_no_units_are_unknown() {
    let part = |text: &str| parse(text).unwrap_err().part;
    assert_eq!(part("erg/s/foo"), "foo");
    let deep = format!("{}m{}", "(".repeat(60), ")".repeat(60));
    let long = "m ".repeat(5000);
    for text in [
        "foo", "m**", "(m", "m)", "m^(1/0)", "10**400", "1e999", "-3 m", "0 m", "m m**301", "$", "dex(", "mag(AB", "[K",
        "0.1 dex", "log", "🌟", &deep, &long,
    ] {
        assert!(text == "log" || parse(text).is_err(), "{text}");
    }
    for text in ["", " ", "-", "---", "None", "unitless"] {
        assert!(is_absent(text) && parse(text) == Ok(Unit::ONE), "{text}");
    }
}
