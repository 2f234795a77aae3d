//! The zero point of Gaia (E)DR3 parallaxes (Lindegren et al. 2021, A&A 649, A4, appendix A):
//!
//! ```text
//! Z(G, ν, β) = Σ_jk q_jk(G) c_j(ν) b_k(β)      ϖ_corrected = ϖ_catalogue − Z
//! c = 1, clamp(ν − 1.48, ±0.24), min(0.24, max(0, 1.48 − ν))³, min(0, ν − 1.24), max(0, ν − 1.72)
//! b = 1, sin β, sin²β − 1/3
//! ```
//!
//! with q_jk linear in G between the nodes of tables 9 and 10 (`zero_point_table`). ν is
//! `nu_eff_used_in_astrometry` of five- and `pseudocolour` of six-parameter solutions, in µm⁻¹; β the
//! ecliptic latitude.

use super::zero_point_table::{FIVE_PARAMETERS, SIX_PARAMETERS, Table};

/// `astrometric_params_solved` of five-parameter solutions.
pub const FIVE: i32 = 31;
/// `astrometric_params_solved` of six-parameter solutions.
pub const SIX: i32 = 95;

/// Magnitudes for which the recipe is stated.
const MAGNITUDES: [f64; 2] = [6.0, 21.0];
/// Effective wavenumbers for which that of five-parameter solutions is.
const WAVENUMBERS: [f64; 2] = [1.1, 1.9];
/// Pseudocolours for which that of six-parameter solutions is.
const PSEUDOCOLOURS: [f64; 2] = [1.24, 1.72];

/// What the zero point of a star depends on; NaN is missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Astrometry {
    /// `astrometric_params_solved`: 31 or 95 where there is a parallax.
    pub params_solved: f64,
    /// `phot_g_mean_mag`, mag, as observed.
    pub g_magnitude: f64,
    /// `nu_eff_used_in_astrometry`, µm⁻¹.
    pub effective_wavenumber: f64,
    /// `pseudocolour`, µm⁻¹.
    pub pseudocolour: f64,
    /// `ecl_lat`, deg.
    pub ecliptic_latitude: f64,
}

/// The zero point of a star's parallax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZeroPoint {
    /// mas, to be subtracted from the parallax of the catalogue.
    pub value: f64,
    /// Whether magnitude or colour are outside the ranges of the recipe; the value is then that at the
    /// nearest magnitude and colour inside.
    pub is_extrapolated: bool,
}

impl Astrometry {
    /// Nothing known.
    pub const MISSING: Self = Self {
        params_solved: f64::NAN,
        g_magnitude: f64::NAN,
        effective_wavenumber: f64::NAN,
        pseudocolour: f64::NAN,
        ecliptic_latitude: f64::NAN,
    };

    /// The zero point; `None` where something that it depends on is missing or impossible, or the solution
    /// has no parallax.
    pub fn zero_point(&self) -> Option<ZeroPoint> {
        let (table, colour, range) = match self.params_solved {
            solved if solved == f64::from(FIVE) => (&FIVE_PARAMETERS, self.effective_wavenumber, WAVENUMBERS),
            solved if solved == f64::from(SIX) => (&SIX_PARAMETERS, self.pseudocolour, PSEUDOCOLOURS),
            _ => return None,
        };
        let is_usable = self.g_magnitude.is_finite() && colour.is_finite() && self.ecliptic_latitude.abs() <= 90.0;
        if !is_usable {
            return None;
        }
        let is_inside = |[low, high]: [f64; 2], value: f64| (low..=high).contains(&value);
        let clamped = |[low, high]: [f64; 2], value: f64| value.clamp(low, high);
        Some(ZeroPoint {
            value: 1e-3
                * microarcseconds(table, clamped(MAGNITUDES, self.g_magnitude), clamped(range, colour), self.ecliptic_latitude),
            is_extrapolated: !(is_inside(MAGNITUDES, self.g_magnitude) && is_inside(range, colour)),
        })
    }
}

fn microarcseconds(table: &Table, magnitude: f64, colour: f64, latitude: f64) -> f64 {
    let sine = latitude.to_radians().sin();
    let of_colour = [
        1.0,
        (colour - 1.48).clamp(-0.24, 0.24),
        (1.48 - colour).clamp(0.0, 0.24).powi(3),
        (colour - 1.24).min(0.0),
        (colour - 1.72).max(0.0),
    ];
    let of_latitude = [1.0, sine, sine * sine - 1.0 / 3.0];
    let above = table.nodes.partition_point(|node| node.magnitude <= magnitude).clamp(1, table.nodes.len() - 1);
    let (low, high) = (&table.nodes[above - 1], &table.nodes[above]);
    let fraction = (magnitude - low.magnitude) / (high.magnitude - low.magnitude);
    let terms = table.terms.iter().enumerate();
    terms
        .map(|(term, &[j, k])| {
            let coefficient = low.q[term] + fraction * (high.q[term] - low.q[term]);
            coefficient * of_colour[j] * of_latitude[k]
        })
        .sum()
}

/// The ecliptic latitude of a position, deg: rotation of ICRS by the obliquity that Gaia's catalogue uses (84
/// 381.411 arcsec). The catalogue's axes differ by another 0.06 arcsec, which is nothing here.
pub fn ecliptic_latitude(right_ascension: f64, declination: f64) -> f64 {
    let obliquity = (84_381.411_f64 / 3600.0).to_radians();
    let (alpha, delta) = (right_ascension.to_radians(), declination.to_radians());
    let sine = delta.sin() * obliquity.cos() - delta.cos() * obliquity.sin() * alpha.sin();
    sine.clamp(-1.0, 1.0).asin().to_degrees()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn star(params_solved: i32, g_magnitude: f64, effective_wavenumber: f64, pseudocolour: f64, latitude: f64) -> Astrometry {
        let params_solved = params_solved.into();
        Astrometry { params_solved, g_magnitude, effective_wavenumber, pseudocolour, ecliptic_latitude: latitude }
    }

    #[test]
    fn zero_points_are_those_of_the_reference_package() {
        // gaiadr3-zeropoint 0.1.0 with numpy 2.4.6: zpt.get_zpt(G, nu_eff, pseudocolour, ecl_lat, solved),
        // rounded to 1e-6 mas by it
        for (solved, g, wavenumber, pseudocolour, latitude, expected) in [
            (31, 6.5, 1.6, 0.0, 10.0, -0.038_95),
            (31, 12.0, 1.45, 0.0, -40.0, -0.015_389),
            (31, 13.2, 1.55, 0.0, 60.0, -0.028_444),
            (31, 16.0, 1.3, 0.0, 5.0, -0.046_062),
            (31, 18.5, 1.7, 0.0, -70.0, -0.030_083),
            (31, 20.0, 1.5, 0.0, 30.0, -0.013_334),
            (95, 12.5, 0.0, 1.5, 20.0, -0.020_262),
            (95, 17.0, 0.0, 1.3, -50.0, -0.043_972),
            (95, 19.5, 0.0, 1.6, 80.0, -0.014_351),
            (31, 11.0, 1.22, 0.0, 77.0, -0.036_339),
            (31, 13.05, 1.75, 0.0, -77.0, -0.031_344),
            (31, 17.9, 1.8, 0.0, 33.0, 0.002_033),
            (31, 14.0, 1.3, 0.0, -12.0, -0.049_387),
            (95, 9.3, 0.0, 1.48, 0.0, -0.036_693),
            (95, 15.95, 0.0, 1.3, 45.0, -0.044_941),
        ] {
            let found = star(solved, g, wavenumber, pseudocolour, latitude).zero_point().unwrap();
            assert!((found.value - expected).abs() < 6e-7 && !found.is_extrapolated, "{found:?} is not {expected}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_reference_package() {
        // The package gives NaN for these.
        for (solved, g, wavenumber, pseudocolour) in
            [(31, 5.0, 1.6, 0.0), (31, 6.0, 1.0, 0.0), (31, 21.0, 1.95, 0.0), (31, 21.5, 1.2, 0.0), (95, 12.05, 0.0, 1.2)]
        {
            let found = star(solved, g, wavenumber, pseudocolour, 10.0).zero_point().unwrap();
            assert!(found.is_extrapolated && found.value.abs() < 0.1, "{found:?}");
        }
        let edge = star(31, 6.0, 1.1, 0.0, 0.0).zero_point().unwrap();
        assert_eq!(star(31, -3.0, 0.2, 0.0, 0.0).zero_point().unwrap().value, edge.value, "the nearest inside");
    }

    #[test]
    fn without_inputs_there_is_none() {
        let whole = star(31, 15.0, 1.5, f64::NAN, 20.0);
        assert!(whole.zero_point().is_some());
        let without = [
            Astrometry { params_solved: 3.0, ..whole },
            Astrometry { params_solved: 95.0, ..whole },
            Astrometry { params_solved: f64::NAN, ..whole },
            Astrometry { g_magnitude: f64::INFINITY, ..whole },
            Astrometry { effective_wavenumber: f64::NAN, ..whole },
            Astrometry { ecliptic_latitude: 91.0, ..whole },
            Astrometry::MISSING,
        ];
        assert!(without.iter().all(|star| star.zero_point().is_none()));
    }

    #[test]
    fn ecliptic_latitudes_are_those_of_astropy() {
        // astropy 8.0.2: SkyCoord(ra, dec).transform_to("barycentricmeanecliptic").lat; 2e-4 deg are
        // precession and frame
        for (ra, dec, expected) in
            [(10.0, 20.0, 14.411_817), (256.522_910_2, -26.580_565_1, -3.703_545), (150.0, -60.0, -63.381_170)]
        {
            let found = ecliptic_latitude(ra, dec);
            assert!((found - expected).abs() < 2e-4, "{found} is not {expected}");
        }
    }
}
