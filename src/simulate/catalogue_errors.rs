//! Catalogue measurements of simulated stars: parallax, G, labels and reddening with Gaia-, LAMOST- and
//! Bayestar-like errors.
//!
//! Every measurement is truth plus a Gaussian of exactly the stated error, so that parallaxes and reddenings
//! can be negative.

use rand::Rng;
use rand_distr::StandardNormal;

/// A measured value and its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measurement {
    pub value: f64,
    pub error: f64,
}

impl Measurement {
    /// Not measured: NaN in both.
    pub const MISSING: Self = Self { value: f64::NAN, error: f64::NAN };

    fn draw(rng: &mut impl Rng, truth: f64, error: f64) -> Self {
        Self { value: truth + error * rng.sample::<f64, _>(StandardNormal), error }
    }
}

/// Parallax in mas. The median error is Gaia DR3's, √(40 + 800 z + 30 z²) µas with z = 10^(0.4 (max(G, 13) −
/// 15)), on a floor of 15 µas; it scatters by 15 %, and one star in thirty has an error 2.5 times larger.
pub(super) fn parallax(rng: &mut impl Rng, truth: f64, g: f64) -> Measurement {
    let z = 10_f64.powf(0.4 * (g.max(13.0) - 15.0));
    let poor = if rng.r#gen::<f64>() < 1.0 / 30.0 { 2.5 } else { 1.0 };
    let error = poor * scatter(rng, 0.15) * (1e-3 * (40.0 + 800.0 * z + 30.0 * z * z).sqrt()).hypot(0.015);
    Measurement::draw(rng, truth, error)
}

/// Labels T_eff in K, [Fe/H] and log g, from a spectrum of signal-to-noise 120 at G = 12 and 12 at G = 17:
/// errors of 25–150 K, 0.03–0.2 dex and 0.05–0.25 dex, a floor and a part that falls with the
/// signal-to-noise.
pub(super) fn labels(rng: &mut impl Rng, truth: [f64; 3], g: f64) -> [Measurement; 3] {
    let signal_to_noise = (120.0 * 10_f64.powf(-0.2 * (g - 12.0))).min(300.0);
    let quality = scatter(rng, 0.2);
    let mut draw = |truth: f64, floor: f64, noise: f64, largest: f64| {
        Measurement::draw(rng, truth, (floor.hypot(noise / signal_to_noise) * quality).min(largest))
    };
    let [teff, feh, logg] = truth;
    [draw(teff, 22.0, 1400.0, 150.0), draw(feh, 0.03, 1.9, 0.2), draw(logg, 0.05, 2.3, 0.25)]
}

/// Reddening E(B−V) in mag: an error of 0.02 mag and a tenth of the reddening, with 20 % scatter.
pub(super) fn reddening(rng: &mut impl Rng, truth: f64) -> Measurement {
    let error = 0.02_f64.hypot(0.1 * truth) * scatter(rng, 0.2);
    Measurement::draw(rng, truth, error)
}

/// A log-normal factor of median one.
fn scatter(rng: &mut impl Rng, deviation: f64) -> f64 {
    (deviation * rng.sample::<f64, _>(StandardNormal)).exp()
}
