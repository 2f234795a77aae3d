//! Scores of all draws against one star, eight draws at a time.
//!
//! With the slopes of ln flux in the linear parameters the same for all draws, the normal matrix of the small least-squares
//! problem belongs to the star; a draw adds its residuals, about five operations a pool.

use super::{Linear, SMALLEST_EXTINCTION};
use crate::optimise::dense::invert_positive_semidefinite;
use crate::tensor::lanes::{Block, Lanes, Portable, floats, has_avx2};

/// What all stars share: the draws in blocks of eight.
pub(super) struct Draws {
    /// ln of the mean flux of every pool, `[G][D/8]`.
    pub ln_flux: Vec<Vec<Block>>,
    /// −2 ln p of each draw, relative to the likeliest; infinite where a block is filled up.
    pub prior_loss: Vec<Block>,
    /// Label values (file units) of each draw, `[label][D/8]`.
    pub labels: Vec<Vec<Block>>,
    /// ∂ ln flux/∂(linear parameter) `[L][G]`, the mean over draws.
    pub slopes: Vec<Vec<f64>>,
}

/// One star as the scores see it.
#[derive(Default)]
pub(super) struct Star {
    /// ln of the pooled flux and its inverse error (zero where a pool is missing or too faint), `[G]`.
    pub ln_flux: Vec<f64>,
    pub inverse_error: Vec<f64>,
    /// Value (relative to the reference of the linear parameter) and inverse error, for each linear parameter.
    pub linear_priors: Vec<Option<(f64, f64)>>,
    /// Measured labels: position in [`Draws::labels`], value, inverse error.
    pub labels: Vec<(usize, f64, f64)>,
}

/// Scores `[D]` of one star and the linear parameters of each draw, relative to their references, `[L][D]`.
#[derive(Default)]
pub(super) struct Scores {
    score: Vec<Block>,
    linear: Vec<Vec<Block>>,
    /// Added to every value of a linear parameter.
    shift: Vec<f64>,
}

impl Scores {
    /// Scores `[D]`: χ² at the best linear parameters plus prior, smaller is better.
    pub fn scores(&self) -> &[f32] {
        floats(&self.score)
    }

    /// Best value of a linear parameter for a draw, relative to its reference.
    pub fn linear(&self, l: usize, draw: usize) -> f64 {
        f64::from(floats(&self.linear[l])[draw]) + self.shift[l]
    }
}

/// The least-squares problem of one star in single precision.
struct Problem {
    /// Pools that say something: index, ln flux, weight.
    pools: Vec<(usize, f32, f32)>,
    slopes: Vec<Vec<f32>>,
    /// Σ of the priors: constant, right-hand sides.
    constant: f32,
    right: Vec<f32>,
    /// Inverse normal matrix `[L, L]`.
    inverse: Vec<f32>,
    /// The parameter that must not be negative, its lower limit relative to the reference, and its variance.
    amount: Option<(usize, f32, f32)>,
    labels: Vec<(usize, f32, f32)>,
}

impl Draws {
    /// Scores every draw for a star.
    pub fn score(&self, star: &Star, linear: &[Linear], scores: &mut Scores) {
        let n = linear.len();
        let problem = self.problem(star, linear, scores);
        let n_blocks = self.prior_loss.len();
        scores.score.resize(n_blocks, Block::default());
        scores.linear.resize(n, Vec::new());
        scores.linear.iter_mut().for_each(|values| values.resize(n_blocks, Block::default()));
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // SAFETY: AVX2 and FMA were detected.
            unsafe { self.score_avx2(&problem, scores) };
            return;
        }
        self.score_blocks::<Portable>(&problem, scores);
    }

    /// The sums that do not depend on the draw; the flux is shifted by a typical value of the parameter that scales it, so that
    /// residuals stay small in single precision.
    fn problem(&self, star: &Star, linear: &[Linear], scores: &mut Scores) -> Problem {
        let n = linear.len();
        let pools: Vec<usize> = (0..star.ln_flux.len()).filter(|&g| star.inverse_error[g] > 0.0).collect();
        let weight = |g: usize| star.inverse_error[g] * star.inverse_error[g];
        let middle = self.prior_loss.len() / 2;
        scores.shift = vec![0.0; n];
        if let Some(l) = linear.iter().position(|linear| linear.logarithmic) {
            let (mut sum, mut norm) = (0.0, 1e-12);
            for &g in &pools {
                let slope = self.slopes[l][g];
                sum += weight(g) * slope * (star.ln_flux[g] - f64::from(self.ln_flux[g][middle].0[0]));
                norm += weight(g) * slope * slope;
            }
            scores.shift[l] = sum / norm;
        }
        let shifted = |g: usize| star.ln_flux[g] - (0..n).map(|l| scores.shift[l] * self.slopes[l][g]).sum::<f64>();
        let mut normal = vec![0.0; n * n];
        let (mut constant, mut right) = (0.0, vec![0.0; n]);
        for a in 0..n {
            for b in 0..n {
                normal[a * n + b] = pools.iter().map(|&g| weight(g) * self.slopes[a][g] * self.slopes[b][g]).sum();
            }
            // A direction without data stays at the reference.
            normal[a * n + a] += 1e-6;
            if let Some((value, inverse_error)) = star.linear_priors[a] {
                let (value, weight) = (value - scores.shift[a], inverse_error * inverse_error);
                normal[a * n + a] += weight;
                right[a] = weight * value;
                constant += weight * value * value;
            }
        }
        let inverse = invert_positive_semidefinite(&normal, n).map_or_else(|| vec![0.0; n * n], |inverse| inverse.matrix);
        let amount = linear.iter().position(|linear| linear.is_amount);
        let limit = |l: usize| (SMALLEST_EXTINCTION - linear[l].reference) as f32;
        let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        Problem {
            slopes: self.slopes.iter().map(|slopes| pools.iter().map(|&g| slopes[g] as f32).collect()).collect(),
            constant: constant as f32,
            right: single(&right),
            amount: amount.map(|l| (l, limit(l), inverse[l * n + l] as f32)).filter(|(_, _, variance)| *variance > 0.0),
            inverse: single(&inverse),
            labels: star.labels.iter().map(|&(k, value, inverse)| (k, value as f32, (inverse * inverse) as f32)).collect(),
            pools: pools.iter().map(|&g| (g, shifted(g) as f32, weight(g) as f32)).collect(),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn score_avx2(&self, problem: &Problem, scores: &mut Scores) {
        self.score_blocks::<crate::tensor::lanes::Avx2>(problem, scores);
    }

    #[inline(always)]
    fn score_blocks<V: Lanes>(&self, problem: &Problem, scores: &mut Scores) {
        match problem.right.len() {
            0 => self.score_linear::<V, 0>(problem, scores),
            1 => self.score_linear::<V, 1>(problem, scores),
            2 => self.score_linear::<V, 2>(problem, scores),
            3 => self.score_linear::<V, 3>(problem, scores),
            _ => self.score_linear::<V, MOST_LINEAR>(problem, scores),
        }
    }

    /// For up to `L` linear parameters (the ones that are too many have no slope).
    #[inline(always)]
    fn score_linear<V: Lanes, const L: usize>(&self, problem: &Problem, scores: &mut Scores) {
        let n = problem.right.len().min(L);
        for block in 0..self.prior_loss.len() {
            let mut chi_square = V::splat(problem.constant);
            let mut right = [V::splat(0.0); L];
            for (right, &prior) in right.iter_mut().zip(&problem.right) {
                *right = V::splat(prior);
            }
            for (index, &(g, ln_flux, weight)) in problem.pools.iter().enumerate() {
                let residual = V::splat(ln_flux).subtract(V::load(&self.ln_flux[g][block].0));
                let weighted = residual.multiply(V::splat(weight));
                chi_square = weighted.multiply_add(residual, chi_square);
                for (right, slopes) in right.iter_mut().zip(&problem.slopes) {
                    *right = weighted.multiply_add(V::splat(slopes[index]), *right);
                }
            }
            let mut solution = [V::splat(0.0); L];
            for a in 0..n {
                let row = &problem.inverse[a * problem.right.len()..];
                for (right, &inverse) in right[..n].iter().zip(row) {
                    solution[a] = right.multiply_add(V::splat(inverse), solution[a]);
                }
                chi_square = chi_square.subtract(solution[a].multiply(right[a]));
            }
            if let Some((amount, limit, variance)) = problem.amount.filter(|(amount, _, _)| *amount < n) {
                // What an amount of dust is below its limit moves the other parameters along, at a price.
                let excess = V::splat(limit).subtract(solution[amount]).max(V::splat(0.0)).divide(V::splat(variance));
                chi_square = excess.multiply(excess).multiply_add(V::splat(variance), chi_square);
                for (l, solution) in solution.iter_mut().enumerate().take(n) {
                    *solution = excess.multiply_add(V::splat(problem.inverse[l * problem.right.len() + amount]), *solution);
                }
            }
            for &(label, value, weight) in &problem.labels {
                let residual = V::load(&self.labels[label][block].0).subtract(V::splat(value));
                chi_square = residual.multiply(residual).multiply_add(V::splat(weight), chi_square);
            }
            chi_square.add(V::load(&self.prior_loss[block].0)).store(&mut scores.score[block].0);
            for (values, solution) in scores.linear.iter_mut().zip(solution) {
                solution.store(&mut values[block].0);
            }
        }
    }
}

/// Linear parameters beyond this number stay at their references in the scores.
pub(super) const MOST_LINEAR: usize = 8;
