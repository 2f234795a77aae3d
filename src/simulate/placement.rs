//! Where along its line of sight a simulated star is, and how much dust lies before it.
//!
//! Distance: p(d) ∝ d² n(R, z) 10^(−preference · G) between the survey's limits, with the density n of a thin
//! and a thick exponential disc and a halo. Reddening: the column of an exponential dust layer, times a
//! log-normal factor per star for the dust's patchiness.

use super::config::SurveyConfig;
use super::identity::Identity;
use rand::Rng;
use rand_distr::StandardNormal;

const N_DISTANCES: usize = 96;
/// Nearest and farthest distance in kpc.
const DISTANCES: [f64; 2] = [0.01, 60.0];
/// Distance of the Sun from the galactic centre in kpc.
const SOLAR_RADIUS: f64 = 8.2;
/// Local density of the dust layer in mag of E(B−V) per kpc, its scale height and length in kpc, and the
/// scatter of ln E between stars.
const DUST_DENSITY: f64 = 0.35;
const DUST_HEIGHT: f64 = 0.12;
const DUST_LENGTH: f64 = 4.0;
const DUST_SCATTER: f64 = 0.5;
/// A(G) per E(B−V) used for the magnitude limits (the catalogue's G comes from the reddened spectrum).
const G_PER_REDDENING: f64 = 2.5;

/// Distance and dust of a star.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placement {
    /// Distance in kpc.
    pub distance: f64,
    /// E(B−V) in mag, above zero.
    pub reddening: f64,
}

/// A place for a star of absolute magnitude `absolute_g` in the direction of `identity`, or `None` when it
/// cannot be seen within the survey's limits at any distance.
pub(super) fn place(rng: &mut impl Rng, absolute_g: f64, identity: &Identity, config: &SurveyConfig) -> Option<Placement> {
    let ln_step = (DISTANCES[1] / DISTANCES[0]).ln() / (N_DISTANCES - 1) as f64;
    let patchiness = (DUST_SCATTER * rng.sample::<f64, _>(StandardNormal)).exp();
    let line = LineOfSight::new(identity);
    let [bright, faint] = config.g_limits;
    let mut reddening = [0.0; N_DISTANCES];
    let mut cumulative = [0.0; N_DISTANCES];
    let (mut column, mut total, mut before, mut dust_before) = (0.0, 0.0, 0.0, DUST_DENSITY);
    for step in 0..N_DISTANCES {
        let distance = DISTANCES[0] * (ln_step * step as f64).exp();
        let (stars, dust) = line.densities(distance);
        column += 0.5 * (dust + dust_before) * (distance - before);
        (before, dust_before) = (distance, dust);
        reddening[step] = patchiness * column;
        let g = absolute_g + 5.0 * distance.log10() + 10.0 + G_PER_REDDENING * reddening[step];
        if (bright..faint).contains(&g) {
            total += distance.powi(3) * stars * 10_f64.powf(-config.brightness_preference * (g - bright));
        }
        cumulative[step] = total;
    }
    let target = total * rng.r#gen::<f64>();
    let within: f64 = rng.r#gen();
    let step = cumulative.iter().position(|&sum| sum > target)?;
    // The last step has no successor: stay on its node.
    let next = (step + 1).min(N_DISTANCES - 1);
    Some(Placement {
        distance: DISTANCES[0] * (ln_step * (step as f64 + within)).exp(),
        reddening: reddening[step] + within * (reddening[next] - reddening[step]),
    })
}

/// A direction in galactic coordinates.
struct LineOfSight {
    sin_latitude: f64,
    cos_latitude: f64,
    cos_longitude: f64,
}

impl LineOfSight {
    fn new(identity: &Identity) -> Self {
        let (sin_latitude, cos_latitude) = identity.latitude.to_radians().sin_cos();
        Self { sin_latitude: sin_latitude.abs(), cos_latitude, cos_longitude: identity.longitude.to_radians().cos() }
    }

    /// Densities of stars (relative to the thin disc here) and of dust (mag of E(B−V) per kpc) at a distance
    /// in kpc.
    fn densities(&self, distance: f64) -> (f64, f64) {
        let height = distance * self.sin_latitude;
        let in_plane = distance * self.cos_latitude;
        let radius =
            (SOLAR_RADIUS.powi(2) + in_plane.powi(2) - 2.0 * SOLAR_RADIUS * in_plane * self.cos_longitude).max(0.0).sqrt();
        let outward = radius - SOLAR_RADIUS;
        let discs = (-outward / 2.6).exp() * ((-height / 0.3).exp() + 0.12 * (-height / 0.9).exp());
        let halo = 0.002 * (radius.hypot(height).max(1.0) / SOLAR_RADIUS).powf(-2.5);
        (discs + halo, DUST_DENSITY * (-outward / DUST_LENGTH - height / DUST_HEIGHT).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn stars_keep_to_the_limits_and_dust_grows_with_distance() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        let config = SurveyConfig::default();
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for star in 0..4000 {
            let placement = place(&mut rng, 0.5, &Identity::new(1, star), &config).unwrap();
            let g = 0.5 + 5.0 * placement.distance.log10() + 10.0 + G_PER_REDDENING * placement.reddening;
            assert!((9.9..18.5).contains(&g) && placement.reddening > 0.0, "{placement:?}");
            if placement.distance < 2.0 { &mut near } else { &mut far }.push(placement.reddening);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean(&far) > 1.3 * mean(&near), "{} {}", mean(&far), mean(&near));
    }

    #[test]
    fn a_star_too_faint_at_every_distance_has_no_place() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        assert_eq!(place(&mut rng, 30.0, &Identity::new(1, 0), &SurveyConfig::default()), None);
    }
}
