//! Scores of all draws against one star, sixteen draws at a time.
//!
//! With the slopes of ln flux in the linear parameters the same for all draws, the normal matrix of the small
//! least-squares problem belongs to the star. A draw with ln flux y adds Σ w y² − 2 Σ w t y to χ², t being
//! the star's ln flux, and −Σ w s y to the right-hand side of every linear parameter: two multiply-adds a
//! pool, and one for each of these.

#![allow(clippy::needless_range_loop)]

use super::star::{Pool, Star};
use super::{Linear, MOST_LINEAR};
use crate::optimise::dense::invert_positive_semidefinite;
use crate::tensor::functions::exp;
use crate::tensor::lanes::{Block, LANES, Lanes, Portable, floats, has_avx2};

/// Error of ln flux added for the distance of a star to the nearest draw.
const DRAW_SPACING: f64 = 0.05;
/// Linear parameters count as measured to no better than the inverse of this, which spares the sums in single
/// precision; a hundredth says enough among draws.
const MOST_CERTAIN: f64 = 100.0;
/// Blocks of draws that share the star's coefficients while these are in registers.
const TOGETHER: usize = 2;

/// What all stars share: the draws in blocks of eight, an even number B of them.
pub(super) struct Draws {
    /// ln of the mean flux of every pool less its `middle`, `[G, B]`.
    pub ln_flux: Vec<Block>,
    /// The mean over draws `[G]`.
    pub middle: Vec<f64>,
    /// −2 ln p of each draw, relative to the likeliest; infinite where a block is filled up.
    pub prior_loss: Vec<Block>,
    /// Coordinates of the labels of each draw, `[label][B]`.
    pub labels: Vec<Vec<Block>>,
    /// ∂ ln flux/∂(linear parameter) `[L][G]`, the mean over draws.
    pub slopes: Vec<Vec<f64>>,
}

/// Scores `[D]` of one star and the linear parameters of each draw, relative to their references and shifts,
/// `[L][D]`.
#[derive(Default)]
pub(super) struct Scores {
    score: Vec<Block>,
    linear: Vec<Vec<Block>>,
    /// Added to every value of a linear parameter `[L]`.
    pub shift: Vec<f64>,
    problem: Problem,
}

/// The least-squares problem of one star in single precision.
#[derive(Default)]
struct Problem {
    /// Numbers of the pools that say something.
    pools: Vec<usize>,
    /// For each of them w, −2 w t, and −w s of every linear parameter.
    coefficients: Vec<[f32; 2 + MOST_LINEAR]>,
    /// What does not depend on the draw: loss and right-hand sides.
    constant: f32,
    right: [f32; MOST_LINEAR],
    /// Inverse normal matrix.
    inverse: [[f32; MOST_LINEAR]; MOST_LINEAR],
    /// The parameter that must not be negative, its lower limit, and its variance.
    amount: Option<(usize, f32, f32)>,
    /// A parallax too uncertain for its logarithm: which parameter, what its logarithm lacks, value over
    /// error, 1/error.
    parallax: Option<(usize, f32, f32, f32)>,
    /// Measured labels: which, coordinate, weight.
    labels: Vec<(usize, f32, f32)>,
}

impl Scores {
    /// Best value of a linear parameter for a draw.
    pub fn linear(&self, l: usize, draw: usize) -> f32 {
        floats(&self.linear[l])[draw]
    }

    /// The draws whose score is at most that of the best plus `window`, best of all first; the first draw
    /// alone where no score is finite.
    pub fn best(&self, window: f32, draws: &mut Vec<usize>) {
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // SAFETY: AVX2 and FMA were detected.
            unsafe { self.best_avx2(window, draws) };
            return;
        }
        self.best_any(window, draws);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn best_avx2(&self, window: f32, draws: &mut Vec<usize>) {
        self.best_any(window, draws);
    }

    #[inline(always)]
    fn best_any(&self, window: f32, draws: &mut Vec<usize>) {
        draws.clear();
        let mut lanes = [f32::INFINITY; LANES];
        for block in &self.score {
            lanes.iter_mut().zip(block.0).for_each(|(least, score)| *least = if score < *least { score } else { *least });
        }
        let least = lanes.into_iter().fold(f32::INFINITY, f32::min);
        if !least.is_finite() {
            draws.push(0);
            return;
        }
        let scores = floats(&self.score);
        draws.resize(scores.len(), 0);
        let mut n = 0;
        for (draw, &score) in scores.iter().enumerate() {
            // Without a branch that nobody could predict.
            draws[n] = draw;
            n += usize::from(score <= least + window);
        }
        draws.truncate(n);
        let best = draws.iter().position(|&draw| floats(&self.score)[draw] == least).unwrap_or_default();
        draws.swap(0, best);
    }

    /// Blocks of the best values of a linear parameter, as [`Self::linear`].
    pub fn linear_blocks(&self, l: usize) -> &[Block] {
        &self.linear[l]
    }
}

impl Draws {
    /// Scores every draw for a star.
    pub fn score(&self, star: &Star, linear: &[Linear], scores: &mut Scores) {
        self.set_problem(star, linear, scores);
        let n_blocks = self.prior_loss.len();
        scores.score.resize(n_blocks, Block::default());
        scores.linear.resize(linear.len(), Vec::new());
        scores.linear.iter_mut().for_each(|values| values.resize(n_blocks, Block::default()));
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // SAFETY: AVX2 and FMA were detected.
            unsafe { self.score_avx2(scores) };
            return;
        }
        self.score_any::<Portable>(scores);
    }

    /// The sums that do not depend on the draw; the flux is shifted by a typical value of the parameter that
    /// scales it, so that residuals stay small in single precision.
    fn set_problem(&self, star: &Star, linear: &[Linear], scores: &mut Scores) {
        let n = linear.len();
        let pools = || star.pools.iter().map(|pool| (pool, pool.weight(DRAW_SPACING)));
        scores.shift.clear();
        scores.shift.resize(n, 0.0);
        if let Some(l) = linear.iter().position(|linear| linear.logarithmic) {
            let (mut sum, mut norm) = (0.0, 1e-12);
            for (pool, weight) in pools() {
                let slope = self.slopes[l][pool.index];
                sum += weight * slope * (pool.ln_flux - self.middle[pool.index]);
                norm += weight * slope * slope;
            }
            scores.shift[l] = sum / norm;
        }
        let problem = &mut scores.problem;
        problem.pools.clear();
        problem.coefficients.clear();
        let (mut constant, mut right, mut normal) = (0.0, [0.0; MOST_LINEAR], [0.0; MOST_LINEAR * MOST_LINEAR]);
        for (pool, weight) in pools() {
            let ln_flux = self.shifted(pool, &scores.shift);
            let mut coefficients = [0.0; 2 + MOST_LINEAR];
            coefficients[0] = weight as f32;
            coefficients[1] = (-2.0 * weight * ln_flux) as f32;
            constant += weight * ln_flux * ln_flux;
            for a in 0..n {
                let slope = weight * self.slopes[a][pool.index];
                coefficients[2 + a] = -slope as f32;
                right[a] += slope * ln_flux;
                for b in 0..n {
                    normal[a * n + b] += slope * self.slopes[b][pool.index];
                }
            }
            problem.pools.push(pool.index);
            problem.coefficients.push(coefficients);
        }
        for a in 0..n {
            // A direction without data stays at the reference.
            normal[a * n + a] += 1e-6;
            let strong_parallax = star.parallax.filter(|parallax| parallax.linear == a).and_then(|parallax| parallax.logarithm());
            if let Some((value, inverse_error)) = star.linear_priors[a].or(strong_parallax) {
                let inverse_error = inverse_error.min(MOST_CERTAIN);
                let (value, weight) = (value - scores.shift[a], inverse_error * inverse_error);
                normal[a * n + a] += weight;
                right[a] += weight * value;
                constant += weight * value * value;
            }
        }
        problem.constant = constant as f32;
        problem.right = right.map(|right| right as f32);
        problem.inverse = [[0.0; MOST_LINEAR]; MOST_LINEAR];
        problem.amount = None;
        if let Some(inverse) = invert_positive_semidefinite(&normal[..n * n], n) {
            for (row, inverse) in problem.inverse.iter_mut().zip(inverse.matrix.chunks_exact(n.max(1))) {
                row.iter_mut().zip(inverse).for_each(|(to, from)| *to = *from as f32);
            }
            let amount = linear.iter().rposition(|linear| linear.is_amount);
            let limit = |l: usize| (linear[l].limit() - scores.shift[l]) as f32;
            problem.amount = amount.map(|l| (l, limit(l), problem.inverse[l][l])).filter(|(_, _, variance)| *variance > 0.0);
        }
        let weak = star.parallax.filter(|parallax| parallax.logarithm().is_none());
        problem.parallax = weak.map(|parallax| {
            let missing = scores.shift[parallax.linear] + linear[parallax.linear].reference;
            let inverse_error = parallax.inverse_error as f32;
            (parallax.linear, missing as f32, parallax.value as f32 * inverse_error, inverse_error)
        });
        problem.labels.clear();
        problem.labels.extend(star.labels.iter().map(|&(k, value, inverse)| (k, value as f32, (inverse * inverse) as f32)));
    }

    /// ln flux of a pool less its middle, at the references of the linear parameters but for their `shift
    /// [L]`.
    pub fn shifted(&self, pool: &Pool, shift: &[f64]) -> f64 {
        let along: f64 = shift.iter().zip(&self.slopes).map(|(shift, slopes)| shift * slopes[pool.index]).sum();
        pool.ln_flux - self.middle[pool.index] - along
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn score_avx2(&self, scores: &mut Scores) {
        self.score_any::<crate::tensor::lanes::Avx2>(scores);
    }

    #[inline(always)]
    fn score_any<V: Lanes>(&self, scores: &mut Scores) {
        match scores.linear.len() {
            0 => self.score_sized::<V, 0>(scores),
            1 => self.score_sized::<V, 1>(scores),
            2 => self.score_sized::<V, 2>(scores),
            3 => self.score_sized::<V, 3>(scores),
            _ => self.score_sized::<V, MOST_LINEAR>(scores),
        }
    }

    /// For up to `L` linear parameters; those that are not there have no slopes.
    #[inline(always)]
    fn score_sized<V: Lanes, const L: usize>(&self, scores: &mut Scores) {
        let n_blocks = self.prior_loss.len();
        let Scores { score, linear, problem, .. } = scores;
        for first in (0..n_blocks).step_by(TOGETHER) {
            let mut loss = [V::splat(problem.constant); TOGETHER];
            let mut right: [[V; TOGETHER]; L] = std::array::from_fn(|l| [V::splat(problem.right[l]); TOGETHER]);
            for (&pool, coefficients) in problem.pools.iter().zip(&problem.coefficients) {
                let ln_flux = &self.ln_flux[pool * n_blocks + first..][..TOGETHER];
                let ln_flux: [V; TOGETHER] = std::array::from_fn(|i| V::load(&ln_flux[i].0));
                let [weight, along] = [V::splat(coefficients[0]), V::splat(coefficients[1])];
                for i in 0..TOGETHER {
                    loss[i] = ln_flux[i].multiply_add(weight, along).multiply_add(ln_flux[i], loss[i]);
                }
                for (right, &slope) in right.iter_mut().zip(&coefficients[2..]) {
                    let slope = V::splat(slope);
                    for i in 0..TOGETHER {
                        right[i] = ln_flux[i].multiply_add(slope, right[i]);
                    }
                }
            }
            for i in 0..TOGETHER {
                let (loss, solution) = self.finish::<V, L>(problem, loss[i], right.map(|right| right[i]), first + i);
                loss.store(&mut score[first + i].0);
                for (values, solution) in linear.iter_mut().zip(solution) {
                    solution.store(&mut values[first + i].0);
                }
            }
        }
    }

    /// Loss and linear parameters of eight draws from the sums over pools.
    #[inline(always)]
    fn finish<V: Lanes, const L: usize>(&self, problem: &Problem, mut loss: V, right: [V; L], block: usize) -> (V, [V; L]) {
        let mut solution = [V::splat(0.0); L];
        for a in 0..L {
            for b in 0..L {
                solution[a] = right[b].multiply_add(V::splat(problem.inverse[a][b]), solution[a]);
            }
            loss = loss.subtract(solution[a].multiply(right[a]));
        }
        if let Some((amount, limit, variance)) = problem.amount.filter(|(amount, _, _)| *amount < L) {
            // What an amount of dust is below its limit moves the other parameters along, at a price.
            let excess = V::splat(limit).subtract(solution[amount]).max(V::splat(0.0)).multiply(V::splat(1.0 / variance));
            loss = excess.multiply(excess).multiply_add(V::splat(variance), loss);
            for (l, solution) in solution.iter_mut().enumerate() {
                *solution = excess.multiply_add(V::splat(problem.inverse[l][amount]), *solution);
            }
        }
        if let Some((l, missing, value, inverse_error)) = problem.parallax.filter(|(l, ..)| *l < L) {
            let parallax = exp(solution[l].add(V::splat(missing)));
            let pull = parallax.multiply(V::splat(inverse_error)).subtract(V::splat(value));
            loss = pull.multiply_add(pull, loss);
        }
        for &(label, value, weight) in &problem.labels {
            let residual = V::load(&self.labels[label][block].0).subtract(V::splat(value));
            loss = residual.multiply(residual).multiply_add(V::splat(weight), loss);
        }
        (loss.add(V::load(&self.prior_loss[block].0)), solution)
    }
}
