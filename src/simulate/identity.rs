//! Who and where a simulated star is: a Gaia-like identifier and the position that it encodes.
//!
//! A Gaia `source_id` holds the star's HEALPix pixel (nested scheme, level 12, ICRS) above 35 lower bits.
//! Here the lower bits are a one-to-one scrambling of the star's number, so that identifiers are distinct,
//! and the pixel comes from a hash of seed and number.

use super::config::SurveyConfig;
use std::f64::consts::{FRAC_PI_2, PI};

const HEALPIX_LEVEL: u32 = 12;
const N_SIDE: u64 = 1 << HEALPIX_LEVEL;
const N_PIXELS: u64 = 12 * N_SIDE * N_SIDE;
/// Scale in |galactic latitude|, in degrees, of the density of stars over the sky, and the density far from
/// the plane.
const LATITUDE_SCALE: f64 = 25.0;
const HIGH_LATITUDE_DENSITY: f64 = 0.05;

/// Identifier and direction of a star.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Identity {
    pub source_id: i64,
    /// Right ascension, declination, in degrees (centre of the identifier's HEALPix pixel).
    pub ra: f64,
    pub dec: f64,
    /// Galactic longitude and latitude in degrees.
    pub longitude: f64,
    pub latitude: f64,
}

impl Identity {
    /// The star number `star` (below [`SurveyConfig::MAX_STAR`]) of the sky `seed`; denser towards the
    /// galactic plane.
    pub fn new(seed: u64, star: u64) -> Self {
        let star_hash = mix(mix(seed).wrapping_add(star));
        let mut hash = star_hash;
        loop {
            hash = mix(hash);
            let pixel = hash % N_PIXELS;
            let (ra, dec) = pixel_centre(pixel);
            let (longitude, latitude) = galactic(ra, dec);
            let density = HIGH_LATITUDE_DENSITY + (-latitude.abs() / LATITUDE_SCALE).exp();
            hash = mix(hash);
            if (hash >> 11) as f64 / (1_u64 << 53) as f64 <= density {
                let number = star.wrapping_mul(0x2_545f_4914 | 1).wrapping_add(mix(!seed)) % SurveyConfig::MAX_STAR;
                return Self { source_id: ((pixel << 35) | number) as i64, ra, dec, longitude, latitude };
            }
        }
    }

    /// Seed of everything random about this star.
    pub fn random_seed(&self, seed: u64) -> u64 {
        mix(mix(seed) ^ self.source_id as u64)
    }
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014): a one-to-one scrambling of 64 bits.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Centre of a nested HEALPix pixel of level 12 in degrees (Górski et al. 2005, sec. 4 and 5).
fn pixel_centre(pixel: u64) -> (f64, f64) {
    let (face, within) = (pixel / (N_SIDE * N_SIDE), pixel % (N_SIDE * N_SIDE));
    let (x, y) = (even_bits(within) as i64, even_bits(within >> 1) as i64);
    let (face_row, face_column) = ((face / 4) as i64, (face % 4) as i64);
    let n_side = N_SIDE as i64;
    let ring = (face_row + 2) * n_side - x - y - 1; // 1 … 4 n_side − 1, from the north
    let in_cap = ring.min(4 * n_side - ring);
    let (ring_quarter, z) = if in_cap < n_side {
        let height = 1.0 - (in_cap * in_cap) as f64 / (3 * n_side * n_side) as f64;
        (in_cap, if ring < 2 * n_side { height } else { -height })
    } else {
        (n_side, (2 * (2 * n_side - ring)) as f64 / (3 * n_side) as f64)
    };
    // Faces of the north and south caps are centred at odd multiples of 45°, the equatorial ones at even
    // multiples.
    let face_centre = 2 * face_column + i64::from(face_row != 1);
    let longitude = (face_centre * ring_quarter + x - y) as f64 * FRAC_PI_2 / (2 * ring_quarter) as f64;
    (longitude.rem_euclid(2.0 * PI).to_degrees(), z.asin().to_degrees())
}

/// The number made of the even-numbered bits.
fn even_bits(value: u64) -> u64 {
    (0..HEALPIX_LEVEL).map(|bit| (value >> (2 * bit) & 1) << bit).sum()
}

/// Galactic longitude and latitude in degrees (rotation of the Hipparcos catalogue, ESA SP-1200 vol. 1, eq.
/// 1.5.11).
fn galactic(ra: f64, dec: f64) -> (f64, f64) {
    const ROTATION: [[f64; 3]; 3] = [
        [-0.054_875_560_416_2, -0.873_437_090_234_9, -0.483_835_015_548_7],
        [0.494_109_427_875_6, -0.444_829_629_960_0, 0.746_982_244_497_2],
        [-0.867_666_149_019_0, -0.198_076_373_431_2, 0.455_983_776_175_1],
    ];
    let ((sin_ra, cos_ra), (sin_dec, cos_dec)) = (ra.to_radians().sin_cos(), dec.to_radians().sin_cos());
    let direction = [cos_ra * cos_dec, sin_ra * cos_dec, sin_dec];
    let [x, y, z] = ROTATION.map(|row| row.iter().zip(direction).map(|(r, d)| r * d).sum::<f64>());
    (y.atan2(x).to_degrees().rem_euclid(360.0), z.clamp(-1.0, 1.0).asin().to_degrees())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaia DR3 identifiers and positions (SIMBAD, J2000) of 18 Sco, 10 Lac and Proxima Centauri.
    #[test]
    fn identifiers_hold_the_position_as_gaias_do() {
        for (source_id, ra, dec) in [
            (4_345_775_217_221_821_312, 243.9053, -8.3694_f64),
            (1_908_095_850_396_090_880, 339.8153, 39.0503),
            (5_853_498_713_190_525_696, 217.4290, -62.6795),
        ] {
            let (pixel_ra, pixel_dec) = pixel_centre(source_id >> 35);
            let offset = f64::hypot((pixel_ra - ra) * dec.to_radians().cos(), pixel_dec - dec);
            // A pixel is 0.014° wide, and Proxima moves by 0.017° until 2016.
            assert!(offset < 0.03, "{source_id}: {pixel_ra} {pixel_dec}");
        }
    }

    /// The galactic centre Sgr A* (ICRS 266.4168, −29.0078) lies at (359.944, −0.046); the north pole at
    /// 192.85948, 27.12825.
    #[test]
    fn galactic_coordinates_of_known_directions() {
        let (longitude, latitude) = galactic(266.4168, -29.0078);
        assert!((longitude - 359.944).abs() < 2e-3 && (latitude + 0.046).abs() < 2e-3, "{longitude} {latitude}");
        assert!((galactic(192.85948, 27.12825).1 - 90.0).abs() < 1e-3);
    }

    #[test]
    fn identifiers_are_distinct_and_differ_between_seeds() {
        let ids = |seed| (0..20_000).map(|star| Identity::new(seed, star).source_id).collect::<std::collections::BTreeSet<_>>();
        let (one, two) = (ids(1), ids(2));
        assert_eq!(one.len(), 20_000);
        assert_eq!(one.intersection(&two).count(), 0);
    }
}
