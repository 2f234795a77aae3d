//! Simulated stars for the tests of this room.

use super::star::Star;
use super::zero_point::Astrometry;
use crate::statistics::Measured;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Stars at given distances (kpc), with errors of parallaxes like Gaia's by magnitude, of M by
/// `magnitude_error`, and their zero point.
pub fn stars_at(distances: &[f64], magnitude_error: f64, seed: u64) -> Vec<Star> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    distances
        .iter()
        .map(|&distance| {
            let mut normal = || -> f64 { rng.sample(StandardNormal) };
            let absolute = 1.0 + 1.5 * normal();
            let extinction = 0.3;
            let magnitude = absolute + 5.0 * distance.log10() + 10.0 + extinction;
            let error = 0.015 + 0.02 * ((magnitude - 15.0) * 0.46).exp();
            let astrometry = Astrometry {
                params_solved: 31.0,
                g_magnitude: magnitude.clamp(6.0, 21.0),
                effective_wavenumber: 1.5,
                pseudocolour: f64::NAN,
                ecliptic_latitude: 30.0,
            };
            let zero_point = astrometry.zero_point().map_or(0.0, |found| found.value);
            Star {
                astrometry,
                parallax: Measured { value: distance.recip() + zero_point + error * normal(), error },
                ruwe: 1.0,
                position: [120.0, 20.0],
                magnitude: Measured { value: magnitude + 0.02 * normal(), error: 0.02 },
                extinction: Measured { value: extinction + 0.05 * normal(), error: 0.05 },
                absolute_magnitude: Measured { value: absolute + magnitude_error * normal(), error: magnitude_error },
                ..Star::MISSING
            }
        })
        .collect()
}

/// Distances of a density p(d) ∝ d^power e^(−d/scale) below a limit, kpc.
pub fn distances(n: usize, power: f64, scale: f64, limit: f64, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let density = |d: f64| d.powf(power) * (-d / scale).exp();
    let greatest = density((power * scale).clamp(1e-9, limit)).max(density(limit)).max(density(1e-6));
    let mut found = Vec::with_capacity(n);
    while found.len() < n {
        let distance = rng.gen_range(0.01..limit);
        if rng.r#gen::<f64>() * greatest < density(distance) {
            found.push(distance);
        }
    }
    found
}
