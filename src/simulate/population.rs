//! The Hertzsprung–Russell diagram of the simulation: labels of stars by population and evolutionary phase.
//!
//! A closed-form family of sequences in (T_eff, log g): the main sequence above a zero-age line, a subgiant
//! branch from the turn-off to the foot of the giant branch, a giant branch that is hotter for metal-poor
//! stars, and a red clump beside it. [Fe/H] comes from the thin disc, the thick disc or the halo, and the old
//! populations have no hot stars.

use super::config::PhaseShares;
use super::spectral_energy::Labels;
use rand::Rng;
use rand_distr::{Exp1, StandardNormal};
use std::ops::RangeInclusive;

/// The labels that stars may have: T_eff in kK, [Fe/H], log g.
pub(super) const TEFF: RangeInclusive<f64> = 3.5..=8.5;
pub(super) const FEH: RangeInclusive<f64> = -2.5..=0.5;
pub(super) const LOGG: RangeInclusive<f64> = 0.5..=5.0;

/// A stellar population: its share, its [Fe/H], and the turn-off temperature of its stars at their mean
/// [Fe/H], in kK.
struct Population {
    share: f64,
    feh: (f64, f64),
    turn_off: (f64, f64),
    /// The disc still forms stars: hot main-sequence stars exist.
    young: bool,
}

/// Thin disc, thick disc, halo.
const POPULATIONS: [Population; 3] = [
    Population { share: 0.78, feh: (-0.05, 0.20), turn_off: (6.3, 0.30), young: true },
    Population { share: 0.17, feh: (-0.50, 0.25), turn_off: (6.0, 0.12), young: false },
    Population { share: 0.05, feh: (-1.40, 0.40), turn_off: (6.4, 0.12), young: false },
];

/// Draws the labels of one star.
pub(super) fn draw(rng: &mut impl Rng, phases: &PhaseShares) -> Labels {
    loop {
        let population = &POPULATIONS[choose(rng, &POPULATIONS.map(|population| population.share))];
        let feh = normal(rng, population.feh);
        let turn_off = normal(rng, population.turn_off);
        let labels = match choose(rng, &phases.as_array()) {
            0 => main_sequence(rng, feh, turn_off, population.young),
            1 => subgiant(rng, feh, turn_off),
            2 => red_giant(rng, feh),
            _ => red_clump(rng, feh),
        };
        if TEFF.contains(&labels.teff) && FEH.contains(&labels.feh) && LOGG.contains(&labels.logg) {
            return labels;
        }
    }
}

/// The second star of a binary: of the primary's [Fe/H], on the main sequence with `mass_ratio` of its mass,
/// and evolved as far as the primary is; the primary's twin at a ratio of one. It may be cooler than
/// [`TEFF`], and then is all but invisible.
pub(super) fn companion(primary: &Labels, mass_ratio: f64) -> Labels {
    if mass_ratio >= 1.0 {
        return *primary;
    }
    // The share that a star of the main sequence is evolved of what it may be; giants are no stars of it.
    let below = zero_age_gravity(primary.teff, primary.feh) - primary.logg;
    let evolved = if below > 0.6 { 1.0 } else { (below / most_evolved(primary.teff)).clamp(0.0, 1.0) };
    let at =
        |teff: f64| Labels { teff, feh: primary.feh, logg: zero_age_gravity(teff, primary.feh) - evolved * most_evolved(teff) };
    // Mass rises with temperature.
    let (target, [mut low, mut high]) = (primary.ln_mass() + mass_ratio.ln(), [0.8, 12.0]);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at(middle).ln_mass() < target { low = middle } else { high = middle }
    }
    at(0.5 * (low + high))
}

/// How far log g of a main-sequence star may lie below its zero age: stars above about 5.5 kK live short
/// enough to be seen evolved.
fn most_evolved(teff: f64) -> f64 {
    0.45 / (1.0 + (-(teff - 5.6) / 0.30).exp())
}

/// Zero-age log g: 4.78 for M dwarfs, 4.48 at the Sun's temperature, 4.23 for A stars; subdwarfs are smaller.
fn zero_age_gravity(teff: f64, feh: f64) -> f64 {
    4.52 - 0.30 * ((teff - 5.6) / 1.5).tanh() - 0.08 * feh
}

fn main_sequence(rng: &mut impl Rng, feh: f64, turn_off: f64, young: bool) -> Labels {
    let teff = match choose(rng, &[0.58, 0.28, 0.14]) {
        0 => normal(rng, (5.75, 0.50)),
        1 => rng.gen_range(3.5..5.2),
        _ => 6.3 + 0.8 * rng.sample::<f64, _>(Exp1),
    };
    let teff = if young || teff < turn_off { teff } else { turn_off - 0.4 * rng.r#gen::<f64>() };
    let evolution = most_evolved(teff) * rng.r#gen::<f64>().powf(1.5);
    Labels { teff, feh, logg: zero_age_gravity(teff, feh) - evolution + normal(rng, (0.0, 0.02)) }
}

fn subgiant(rng: &mut impl Rng, feh: f64, turn_off: f64) -> Labels {
    let (start, end) = (4.05 - 0.15 * (turn_off - 6.2) + normal(rng, (0.0, 0.06)), 3.45);
    let progress: f64 = rng.r#gen();
    let foot = giant_branch(end, feh);
    Labels { teff: turn_off + (foot - turn_off) * progress, feh, logg: start + (end - start) * progress.powf(1.5) }
}

/// T_eff in kK of the giant branch.
fn giant_branch(logg: f64, feh: f64) -> f64 {
    4.65 + 0.41 * (logg - 2.5) - 0.02 * (logg - 2.5).powi(2) - 0.25 * feh
}

fn red_giant(rng: &mut impl Rng, feh: f64) -> Labels {
    let logg = 3.5 - 3.0 * rng.r#gen::<f64>().powf(1.2);
    Labels { teff: giant_branch(logg, feh) + normal(rng, (0.0, 0.06)), feh, logg }
}

fn red_clump(rng: &mut impl Rng, feh: f64) -> Labels {
    let logg = normal(rng, (2.45, 0.08));
    Labels { teff: giant_branch(logg, feh) + normal(rng, (0.17, 0.05)), feh, logg }
}

/// A draw from a Gaussian given as (mean, standard deviation).
fn normal(rng: &mut impl Rng, (mean, deviation): (f64, f64)) -> f64 {
    mean + deviation * rng.sample::<f64, _>(StandardNormal)
}

/// An index with probability proportional to its share.
fn choose(rng: &mut impl Rng, shares: &[f64]) -> usize {
    let mut left = rng.r#gen::<f64>() * shares.iter().sum::<f64>();
    shares
        .iter()
        .position(|share| {
            left -= share;
            left < 0.0
        })
        .unwrap_or(shares.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn phases_lie_where_stars_of_that_phase_lie() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let only = |main_sequence, subgiant, red_giant, red_clump| PhaseShares { main_sequence, subgiant, red_giant, red_clump };
        for (phases, logg) in
            [(only(1.0, 0.0, 0.0, 0.0), 3.7..5.0), (only(0.0, 1.0, 0.0, 0.0), 3.4..4.4), (only(0.0, 0.0, 0.0, 1.0), 2.0..2.9)]
        {
            let stars: Vec<Labels> = (0..2000).map(|_| draw(&mut rng, &phases)).collect();
            assert!(stars.iter().all(|star| logg.contains(&star.logg)), "{phases:?}");
        }
        let stars: Vec<Labels> = (0..20_000).map(|_| draw(&mut rng, &PhaseShares::default())).collect();
        let poor = stars.iter().filter(|star| star.feh < -1.0).count() as f64 / 20_000.0;
        assert!((0.02..0.10).contains(&poor), "{poor}");
        assert!(stars.iter().all(|star| star.feh > -1.0 || star.teff < 7.0), "the halo has no hot stars");
    }

    #[test]
    fn companions_have_their_share_of_the_mass_and_lie_on_the_main_sequence() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        for _ in 0..2000 {
            let star = draw(&mut rng, &PhaseShares::default());
            assert_eq!(companion(&star, 1.0), star, "a twin");
            let mass_ratio = rng.gen_range(0.3..0.95);
            let second = companion(&star, mass_ratio);
            assert!((second.ln_mass() - star.ln_mass() - mass_ratio.ln()).abs() < 1e-9, "{star:?} {second:?}");
            let below = zero_age_gravity(second.teff, second.feh) - second.logg;
            assert!(second.feh == star.feh && (-1e-12..=0.45).contains(&below), "{star:?} {second:?}");
        }
    }
}
