//! Samples of a density of a few parameters: the affine-invariant ensemble of Goodman & Weare (2010, CAMCoS
//! 5, 65) with its stretch move.

use crate::statistics::percentiles;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The scale a of the stretch move.
const STRETCH: f64 = 2.0;
/// Steps of the window that the autocorrelation is summed over, in units of what it then is (Sokal 1997).
const WINDOW: f64 = 5.0;

/// How to sample.
#[derive(Debug, Clone, Copy)]
pub struct SamplerOptions {
    /// Walkers, made even.
    pub walkers: usize,
    /// Steps that count.
    pub steps: usize,
    /// Steps before them that do not.
    pub burn_in: usize,
    pub seed: u64,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self { walkers: 24, steps: 600, burn_in: 150, seed: 1 }
    }
}

/// Samples, walkers of a step after one another.
#[derive(Debug, Clone)]
pub struct Chain {
    samples: Vec<Vec<f64>>,
    walkers: usize,
    /// Fraction of moves that were taken.
    pub acceptance: f64,
}

/// Samples of the density whose logarithm is `ln_density`, from walkers within `widths` of `start`.
pub fn sample(ln_density: impl Fn(&[f64]) -> f64, start: &[f64], widths: &[f64], options: &SamplerOptions) -> Chain {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let half = options.walkers.div_ceil(2).max(start.len() + 1);
    let mut walker = || {
        let place: Vec<f64> =
            start.iter().zip(widths).map(|(&centre, &width)| centre + width * rng.gen_range(-1.0..1.0)).collect();
        let value = ln_density(&place);
        // Where a walker would begin outside what is possible, it begins at the start.
        if value.is_finite() { (place, value) } else { (start.to_vec(), ln_density(start)) }
    };
    let mut walkers: Vec<(Vec<f64>, f64)> = (0..2 * half).map(|_| walker()).collect();
    let (mut samples, mut n_taken) = (Vec::with_capacity(options.steps * 2 * half), 0usize);
    for step in 0..options.burn_in + options.steps {
        for mover in 0..2 * half {
            // A walker moves along the line to one of the other half.
            let other = (if mover < half { half } else { 0 }) + rng.gen_range(0..half);
            let root = STRETCH.recip().sqrt() + rng.r#gen::<f64>() * (STRETCH.sqrt() - STRETCH.recip().sqrt());
            let stretch = root * root;
            let line = walkers[mover].0.iter().zip(&walkers[other].0);
            let place: Vec<f64> = line.map(|(&own, &other)| other + stretch * (own - other)).collect();
            let value = ln_density(&place);
            let ln_ratio = (start.len() as f64 - 1.0) * stretch.ln() + value - walkers[mover].1;
            if rng.r#gen::<f64>().ln() < ln_ratio {
                walkers[mover] = (place, value);
                n_taken += usize::from(step >= options.burn_in);
            }
        }
        if step >= options.burn_in {
            samples.extend(walkers.iter().map(|walker| walker.0.clone()));
        }
    }
    let acceptance = n_taken as f64 / samples.len().max(1) as f64;
    Chain { samples, walkers: 2 * half, acceptance }
}

impl Chain {
    /// All samples of a parameter.
    pub fn of(&self, parameter: usize) -> Vec<f64> {
        self.samples.iter().map(|sample| sample[parameter]).collect()
    }

    /// Mean of a parameter.
    pub fn mean(&self, parameter: usize) -> f64 {
        self.samples.iter().map(|sample| sample[parameter]).sum::<f64>() / self.samples.len() as f64
    }

    /// Half the interval between its 16th and 84th percentiles.
    pub fn error(&self, parameter: usize) -> f64 {
        let [low, high] = percentiles(&self.of(parameter), [15.865_525_393_145_7, 84.134_474_606_854_3]);
        0.5 * (high - low)
    }

    /// Steps between independent samples of a parameter: the sum of the autocorrelation, averaged over
    /// walkers.
    pub fn autocorrelation(&self, parameter: usize) -> f64 {
        let mean = self.mean(parameter);
        let steps = self.samples.len() / self.walkers;
        let at = |step: usize, walker: usize| self.samples[step * self.walkers + walker][parameter] - mean;
        let covariance = |lag: usize| {
            let pairs = (0..steps - lag).flat_map(|step| (0..self.walkers).map(move |walker| (step, walker)));
            pairs.map(|(step, walker)| at(step, walker) * at(step + lag, walker)).sum::<f64>()
                / ((steps - lag) * self.walkers) as f64
        };
        let variance = covariance(0);
        let mut time = 1.0;
        for lag in 1..steps / 2 {
            time += 2.0 * covariance(lag) / variance;
            if lag as f64 >= WINDOW * time {
                break;
            }
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_moments_of_their_density() {
        // A normal density of two correlated parameters of very different scales: mean (3, −100), standard
        // deviations 0.1 and 20, correlation 0.9.
        let ln_density = |at: &[f64]| {
            let (u, v) = ((at[0] - 3.0) / 0.1, (at[1] + 100.0) / 20.0);
            -0.5 * (u * u - 1.8 * u * v + v * v) / (1.0 - 0.81)
        };
        let options = SamplerOptions { steps: 3000, ..SamplerOptions::default() };
        let chain = sample(ln_density, &[2.9, -90.0], &[0.05, 5.0], &options);
        let time = chain.autocorrelation(0);
        let independent = (chain.samples.len() as f64 / time).sqrt();
        assert!((0.4..0.8).contains(&chain.acceptance) && (5.0..60.0).contains(&time), "{} {time}", chain.acceptance);
        assert!((chain.mean(0) - 3.0).abs() < 4.0 * 0.1 / independent);
        assert!((chain.mean(1) + 100.0).abs() < 4.0 * 20.0 / independent);
        assert!(
            (chain.error(0) / 0.1 - 1.0).abs() < 4.0 / independent && (chain.error(1) / 20.0 - 1.0).abs() < 4.0 / independent
        );
        let product = chain.of(0).iter().zip(chain.of(1)).map(|(x, y)| (x - 3.0) * (y + 100.0)).sum::<f64>();
        assert!((product / chain.samples.len() as f64 / 2.0 - 0.9).abs() < 6.0 / independent);
    }

    #[test]
    fn walkers_stay_where_the_density_is() {
        // Exponential above zero: mean 1.
        let ln_density = |at: &[f64]| if at[0] >= 0.0 { -at[0] } else { f64::NEG_INFINITY };
        let chain = sample(ln_density, &[0.1], &[0.5], &SamplerOptions { steps: 4000, ..SamplerOptions::default() });
        assert!(chain.of(0).iter().all(|&value| value >= 0.0));
        let error = (chain.autocorrelation(0) / chain.samples.len() as f64).sqrt();
        assert!((chain.mean(0) - 1.0).abs() < 4.0 * error, "{} ± {error}", chain.mean(0));
    }
}
