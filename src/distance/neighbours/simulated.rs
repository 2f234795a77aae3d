//! Simulated stars with known reddenings and absolute magnitudes: dwarfs and giants with relations between
//! labels, colours and luminosities like those of isochrones, and scatter about them.

use super::bands::default_bands;
use super::columns::LabelledStar;
use super::estimate::{Control, Neighbours};
use super::options::NeighbourOptions;
use crate::distance::options::ZeroPointChoice;
use crate::distance::{DistanceOptions, Star};
use crate::error::Result;
use crate::statistics::Measured;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Exp, Gamma, Normal};

/// Scatter of M about what the labels tell, mag.
pub const SCATTER: f64 = 0.08;
/// Scatter of every magnitude about its relation to G.
const COLOUR_SCATTER: f64 = 0.008;
/// 1σ errors of T_eff (K), log g and [Fe/H].
const LABEL_ERRORS: [f64; 3] = [50.0, 0.1, 0.06];
/// 1σ errors of BP, G, RP, J, H, K_s.
const MAGNITUDE_ERRORS: [f64; 6] = [0.01, 0.01, 0.01, 0.025, 0.025, 0.025];

/// A star and the truth of it.
#[derive(Debug, Clone)]
pub struct Simulated {
    pub id: i64,
    pub labelled: LabelledStar,
    pub star: Star,
    pub reddening: f64,
    /// M_G; of a pair, that of its primary.
    pub absolute_magnitude: f64,
    /// kpc.
    pub distance: f64,
    pub is_giant: bool,
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Survey {
    pub n: usize,
    pub seed: u64,
    /// Mean E(B−V).
    pub reddening: f64,
    /// Times the usual distances.
    pub farther: f64,
    /// Fraction of pairs of equal stars.
    pub pairs: f64,
    /// Factor on the errors of labels.
    pub label_errors: f64,
}

impl Survey {
    /// Stars at a high latitude.
    pub fn controls(n: usize, seed: u64) -> Self {
        Self { n, seed, reddening: 0.03, farther: 1.0, pairs: 0.0, label_errors: 1.0 }
    }

    /// Stars behind dust.
    pub fn targets(n: usize, seed: u64) -> Self {
        Self { reddening: 0.4, seed: seed + 1_000_000, ..Self::controls(n, seed) }
    }

    /// Its stars.
    pub fn stars(&self) -> Vec<Simulated> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        (0..self.n).map(|row| self.star(&mut rng, (self.seed as i64) * 10_000_000 + row as i64)).collect()
    }

    fn star(&self, rng: &mut ChaCha8Rng, id: i64) -> Simulated {
        let options = NeighbourOptions::default();
        let is_giant = rng.gen_bool(0.35);
        let mut normal = |mean: f64, sigma: f64| rng.sample(Normal::new(mean, sigma).unwrap());
        let feh = normal(-0.4, 0.3);
        let noise: [f64; 12] = std::array::from_fn(|_| normal(0.0, 1.0));
        let uniform = rng.gen_range(0.0..1.0);
        let (teff, logg) = match is_giant {
            true => {
                let logg: f64 = 1.6 + 1.8 * uniform;
                (4250.0 + 350.0 * (logg - 1.6) - 250.0 * (feh + 0.5) + 40.0 * noise[0], logg)
            }
            false => {
                let teff = 4600.0 + 2000.0 * uniform;
                (teff, 4.62 - 0.3 * ((teff - 4600.0) / 2000.0_f64).powi(2) + 0.06 * noise[0])
            }
        };
        let theta = 5040.0 / teff - 0.87;
        let mass = if is_giant { 0.0 } else { 1.6 * (teff / 5772.0_f64).log10() };
        let ln_luminosity = mass - (logg - 4.44) + 4.0 * (teff / 5772.0_f64).log10();
        let absolute_magnitude = 4.74 - 2.5 * ln_luminosity + 0.3 * theta * theta + SCATTER * noise[1];
        let is_pair = rng.gen_bool(self.pairs);
        let g = absolute_magnitude - if is_pair { 2.5 * 2f64.log10() } else { 0.0 };
        let intrinsic = [
            g + 0.29 + 0.75 * theta + 0.02 * feh - 0.01 * (logg - 4.0),
            g,
            g - 0.52 - 0.75 * theta + 0.5 * theta * theta,
            g - 1.05 - 1.9 * theta,
            g - 1.35 - 2.6 * theta - 0.03 * feh,
            g - 1.40 - 2.75 * theta + 0.02 * (logg - 4.0),
        ];
        let scale = self.farther * if is_giant { 1.2 } else { 0.25 };
        let distance = 0.05 + rng.sample(Gamma::new(3.0, scale).unwrap());
        let drawn: f64 = rng.sample(Exp::new(self.reddening.recip()).unwrap());
        let reddening = drawn.min(5.0 * self.reddening);
        let mut magnitudes = Vec::new();
        for (band, of) in default_bands().iter().enumerate() {
            let extinction = of.extinction_at(teff, feh, reddening, options.r_v).value;
            let truth = intrinsic[band] + COLOUR_SCATTER * rng.sample(Normal::new(0.0, 1.0).unwrap());
            let error = MAGNITUDE_ERRORS[band];
            let value = truth + extinction + 5.0 * distance.log10() + 10.0 + error * noise[2 + band];
            magnitudes.push(Measured { value, error });
        }
        let [of_teff, of_logg, of_feh] = LABEL_ERRORS.map(|error| self.label_errors * error);
        let measured_teff = teff + of_teff * noise[8];
        let measured_feh = feh + of_feh * noise[10];
        let [scale_teff, scale_logg, scale_feh] = [0, 1, 2].map(|label| options.labels[label].scale);
        let coordinates = vec![
            Measured { value: measured_teff.ln() / scale_teff, error: of_teff / measured_teff / scale_teff },
            Measured { value: (logg + of_logg * noise[9]) / scale_logg, error: of_logg / scale_logg },
            Measured { value: measured_feh / scale_feh, error: of_feh / scale_feh },
        ];
        let map_error = (0.1 * reddening).hypot(0.005);
        let map = Measured { value: reddening + map_error * noise[11], error: map_error };
        let error = 0.015 + 0.02 * ((magnitudes[1].value - 15.0) * 0.46).exp();
        let parallax = distance.recip() + error * rng.sample(Normal::new(0.0, 1.0).unwrap());
        let position = if self.reddening < 0.1 { [200.5, 28.0] } else { [266.4, -28.9] };
        let star = Star { parallax: Measured { value: parallax, error }, position, ruwe: 1.0, ..Star::MISSING };
        let labelled = LabelledStar { coordinates, teff: measured_teff, feh: measured_feh, magnitudes, map };
        Simulated { id, labelled, star, reddening, absolute_magnitude, distance, is_giant }
    }
}

/// Distances without a zero point, which the simulation has not.
pub fn distance_options() -> DistanceOptions {
    DistanceOptions { zero_point: ZeroPointChoice::None, ..DistanceOptions::default() }
}

/// Neighbours among simulated controls.
pub fn neighbours(stars: &[Simulated], options: &NeighbourOptions) -> Result<Neighbours> {
    let used: Vec<usize> = (0..options.bands.len()).collect();
    let of = |star: &Simulated| Control::of((star.id, star.labelled.clone(), &star.star), &used, options, &distance_options());
    Neighbours::new(options.clone(), &stars.iter().filter_map(of).collect::<Vec<_>>(), used.clone())
}
