//! Positions in the Galaxy: Galactocentric coordinates with the constants of astropy's
//! `galactocentric_frame_defaults` "v4.0" (Gravity Collaboration 2018 for R₀, Bennett & Bovy 2019 for the
//! height of the Sun, Reid & Brunthaler 2004 for the position of Sgr A*).

/// Distance of the Sun from the Galactic centre, kpc.
pub const SUN_TO_CENTRE: f64 = 8.122;
/// Height of the Sun above the plane, kpc.
pub const HEIGHT_OF_SUN: f64 = 0.0208;
/// ICRS right ascension and declination of the Galactic centre, deg.
const CENTRE: [f64; 2] = [266.4051, -28.936_175];
/// The angle about the line to the centre that turns ICRS' north to that of the Galaxy, deg.
const ROLL: f64 = 58.598_632_030_6;

/// ICRS right ascension and declination of the north Galactic pole, deg (ESA 1997, Hipparcos catalogue, vol.
/// 1, eq. 1.5.11).
const POLE: [f64; 2] = [192.859_48, 27.128_25];

/// A line of sight: Galactocentric x, y, z of a star at distance d are `origin + d · unit`, kpc.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineOfSight {
    pub origin: [f64; 3],
    pub unit: [f64; 3],
}

impl LineOfSight {
    /// Towards an ICRS position in deg; `None` where that is none.
    pub fn towards(right_ascension: f64, declination: f64) -> Option<Self> {
        if !right_ascension.is_finite() || declination.is_nan() || declination.abs() > 90.0 {
            return None;
        }
        let (alpha, delta) = (right_ascension.to_radians(), declination.to_radians());
        let direction = [delta.cos() * alpha.cos(), delta.cos() * alpha.sin(), delta.sin()];
        let towards_centre = about_z(CENTRE[0], direction);
        let towards_centre = about_x(ROLL, about_y(-CENTRE[1], towards_centre));
        let tilt = -(HEIGHT_OF_SUN / SUN_TO_CENTRE).asin().to_degrees();
        Some(Self { origin: about_y(tilt, [-SUN_TO_CENTRE, 0.0, 0.0]), unit: about_y(tilt, towards_centre) })
    }

    /// Galactocentric x, y, z at a distance, kpc.
    pub fn at(&self, distance: f64) -> [f64; 3] {
        std::array::from_fn(|axis| self.origin[axis] + distance * self.unit[axis])
    }
}

/// The Galactic latitude of an ICRS position, deg; `None` where that is none.
pub fn galactic_latitude(right_ascension: f64, declination: f64) -> Option<f64> {
    if !right_ascension.is_finite() || declination.is_nan() || declination.abs() > 90.0 {
        return None;
    }
    let (alpha, delta) = ((right_ascension - POLE[0]).to_radians(), declination.to_radians());
    let pole = POLE[1].to_radians();
    let sine = delta.sin() * pole.sin() + delta.cos() * pole.cos() * alpha.cos();
    Some(sine.clamp(-1.0, 1.0).asin().to_degrees())
}

fn about_x(degrees: f64, [x, y, z]: [f64; 3]) -> [f64; 3] {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    [x, cosine * y + sine * z, cosine * z - sine * y]
}

fn about_y(degrees: f64, [x, y, z]: [f64; 3]) -> [f64; 3] {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    [cosine * x - sine * z, y, sine * x + cosine * z]
}

fn about_z(degrees: f64, [x, y, z]: [f64; 3]) -> [f64; 3] {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    [cosine * x + sine * y, cosine * y - sine * x, z]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn galactic_latitudes_are_those_of_astropy() {
        // astropy 8.0.2: SkyCoord(ra, dec, unit="deg").galactic.b
        for (ra, dec, expected) in GALACTIC {
            let found = galactic_latitude(ra, dec).unwrap();
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
        assert!(galactic_latitude(0.0, 91.0).is_none() && galactic_latitude(f64::NAN, 0.0).is_none());
    }

    #[rustfmt::skip]
    const GALACTIC: [(f64, f64, f64); 4] = [
        (10.0, 20.0, -42.790_392_865), (266.4051, -28.936_175, -0.000_082_009),
        (150.0, -60.0, -3.939_448_834), (200.5, 28.0, 83.172_043_760),
    ];

    #[test]
    fn positions_are_those_of_astropy() {
        // astropy 8.0.2, galactocentric_frame_defaults.set("v4.0"): SkyCoord(ra, dec,
        // distance).transform_to(Galactocentric())
        for (ra, dec, distance, expected) in [
            (10.0, 20.0, 1.0, [-8.482_498_389_216_905, 0.640_155_854_834_173_4, -0.657_596_778_621_598_2]),
            (266.4051, -28.936_175, 8.122, [0.0, 0.0, 0.0]),
            (150.0, -60.0, 12.5, [-5.318_991_220_945_186, -12.150_859_351_011_459, -0.845_172_358_540_224_3]),
            (93.0, 22.8, 1.87, [-9.971_097_104_547_308, -0.269_057_710_344_700_4, 0.093_252_387_794_916_03]),
        ] {
            let found = LineOfSight::towards(ra, dec).unwrap().at(distance);
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-11), "{found:?}");
        }
        for (ra, dec) in [(f64::NAN, 0.0), (0.0, 90.1), (0.0, f64::NAN), (f64::INFINITY, 0.0)] {
            assert!(LineOfSight::towards(ra, dec).is_none());
        }
    }
}
