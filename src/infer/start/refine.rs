//! From promising draws towards the optima that they lead to, by one Gauss–Newton step from each, eight at a
//! time.
//!
//! Around a draw, ln of the pooled flux is linear in all parameters to about a per cent, and −2 ln p of the
//! prior a parabola. The minimum of that least-squares problem says where a search from the draw would go,
//! and how well it might end, for the price of a few hundred operations. Draws that lead to the same optimum
//! meet near it.

#![allow(clippy::needless_range_loop)]

use super::score::{Draws, Scores};
use super::star::Star;
use super::{Linear, MOST_PARAMETERS};
use crate::tensor::functions::exp;
use crate::tensor::lanes::{Block, LANES, Lanes, Portable, blocks, floats, floats_mut, has_avx2, padded};

/// Error of ln flux added for what ln flux is not linear over a step.
const CURVATURE_ERROR: f64 = 0.01;
/// How far a step in a standardised label may be trusted: a step of this length costs 1 in −2 ln P.
const REACH: f32 = 0.5;

/// Smallest pivot of the elimination relative to its diagonal, well above the rounding of single precision.
const SMALLEST_PIVOT: f32 = 1e-4;

/// What is known of the surroundings of every draw. A record of a draw is ln flux `[G]`, its slopes in the
/// labels `[n, G]`, and −2 ln p with its gradient `[n]` and the lower triangle of half its curvature, in
/// whole blocks.
pub(super) struct Surroundings {
    records: Vec<Block>,
    n_pools: usize,
    n_labels: usize,
}

/// ln flux `[G]` and its slopes `[n, G]`; −2 ln p with gradient `[n]` and curvature `[n, n]`.
type Surrounding<'a> = (&'a [f64], &'a [f64], (f64, &'a [f64], &'a [f64]));

/// Promising draws with the optima they lead to.
#[derive(Default)]
pub(super) struct Candidates {
    pub draws: Vec<usize>,
    /// −2 ln P of the pooled spectrum at the optimum, `[n]`.
    score: Vec<Block>,
    /// Displacement of the labels from the draw, then values of the linear parameters relative to their
    /// references, `[P][n]`.
    position: Vec<Vec<Block>>,
    records: Vec<Block>,
}

impl Candidates {
    /// −2 ln P of the candidates.
    pub fn scores(&self) -> &[f32] {
        &floats(&self.score)[..self.draws.len()]
    }

    /// Displacement of a label, or value of a linear parameter relative to its reference (`p` after the
    /// labels).
    pub fn position(&self, p: usize, candidate: usize) -> f32 {
        floats(&self.position[p])[candidate]
    }
}

/// The least-squares problem of one star.
struct Problem<'a> {
    /// Pools: index, ln flux at the references and shifts of the linear parameters, weight.
    pools: Vec<(usize, f32, f32)>,
    slopes: Vec<Vec<f32>>,
    /// Value and weight of each linear parameter's prior, relative to reference and shift.
    linear_priors: Vec<Option<(f32, f32)>>,
    /// Lower limit of the last parameter.
    limit: Option<f32>,
    /// Parallax: position among the linear parameters, what its logarithm lacks, value, 1/error.
    parallax: Option<(usize, f32, f32, f32)>,
    labels: Vec<(usize, f32, f32)>,
    draws: &'a Draws,
}

impl Surroundings {
    /// From what is known of every draw.
    pub fn new<'a>(n_pools: usize, n_labels: usize, draws: impl Iterator<Item = Surrounding<'a>>) -> Self {
        let mut records = Vec::new();
        for (ln_flux, slopes, (loss, gradient, curvature)) in draws {
            let triangle = (0..n_labels).flat_map(|i| (0..=i).map(move |j| 0.5 * curvature[i * n_labels + j]));
            let numbers = ln_flux.iter().chain(slopes).copied().chain([loss]).chain(gradient.iter().copied()).chain(triangle);
            records.extend(padded(numbers.map(|number| number as f32)));
        }
        Self { records, n_pools, n_labels }
    }

    /// Length of a record in blocks.
    fn stride(&self) -> usize {
        let n = self.n_labels;
        blocks((1 + n) * self.n_pools + 1 + n + n * (n + 1) / 2)
    }

    /// Moves the candidates from their `draws` towards the optima they lead to.
    pub fn refine(&self, star: &Star, draws: &Draws, linear: &[Linear], scores: &Scores, out: &mut Candidates) {
        let pools = star.pools.iter();
        let amount = linear.last().filter(|linear| linear.is_amount);
        let problem = Problem {
            slopes: draws.slopes.iter().map(|slopes| pools.clone().map(|pool| slopes[pool.index] as f32).collect()).collect(),
            pools: pools
                .map(|pool| (pool.index, draws.shifted(pool, &scores.shift) as f32, pool.weight(CURVATURE_ERROR) as f32))
                .collect(),
            linear_priors: star
                .linear_priors
                .iter()
                .zip(&scores.shift)
                .map(|(prior, shift)| prior.map(|(value, inverse)| ((value - shift) as f32, (inverse * inverse) as f32)))
                .collect(),
            limit: amount.map(|last| (last.limit() - scores.shift[linear.len() - 1]) as f32),
            parallax: star.parallax.map(|parallax| {
                let missing = scores.shift[parallax.linear] + linear[parallax.linear].reference;
                (parallax.linear, missing as f32, parallax.value as f32, parallax.inverse_error as f32)
            }),
            labels: star.labels.iter().map(|&(k, value, inverse)| (k, value as f32, (inverse * inverse) as f32)).collect(),
            draws,
        };
        let (n, n_blocks) = (out.draws.len(), blocks(out.draws.len()));
        out.score.resize(n_blocks, Block::default());
        out.records.resize(self.stride() * LANES, Block::default());
        out.position.resize(self.n_labels + linear.len(), Vec::new());
        for (p, values) in out.position.iter_mut().enumerate() {
            values.clear();
            values.resize(n_blocks, Block::default());
            if let Some(l) = p.checked_sub(self.n_labels) {
                floats_mut(values).iter_mut().zip(&out.draws).for_each(|(to, &draw)| *to = scores.linear(l, draw));
            }
        }
        self.refine_candidates(&problem, out);
        for (l, shift) in scores.shift.iter().enumerate() {
            floats_mut(&mut out.position[self.n_labels + l])[..n].iter_mut().for_each(|value| *value += *shift as f32);
        }
    }

    fn refine_candidates(&self, problem: &Problem<'_>, out: &mut Candidates) {
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // SAFETY: AVX2 and FMA were detected.
            unsafe { self.refine_avx2(problem, out) };
            return;
        }
        self.refine_any::<Portable>(problem, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn refine_avx2(&self, problem: &Problem<'_>, out: &mut Candidates) {
        self.refine_any::<crate::tensor::lanes::Avx2>(problem, out);
    }

    #[inline(always)]
    fn refine_any<V: Lanes>(&self, problem: &Problem<'_>, out: &mut Candidates) {
        match out.position.len() {
            3 => self.refine_sized::<V, 3>(problem, out),
            4 => self.refine_sized::<V, 4>(problem, out),
            5 => self.refine_sized::<V, 5>(problem, out),
            6 => self.refine_sized::<V, 6>(problem, out),
            _ => self.refine_sized::<V, MOST_PARAMETERS>(problem, out),
        }
    }

    /// For up to `P` parameters ([`MOST_PARAMETERS`] are the most there are); those that are not there keep
    /// their zero.
    #[inline(always)]
    fn refine_sized<V: Lanes, const P: usize>(&self, problem: &Problem<'_>, out: &mut Candidates) {
        for block in 0..out.score.len() {
            self.gather::<V>(block, out);
            let mut system = self.system::<V, P>(problem, out, block);
            let last = out.position.len() - 1;
            let limit = problem.limit.map(|limit| V::splat(limit).subtract(V::load(&out.position[last][block].0)));
            let (step, loss) = system.solve(out.position.len(), limit);
            loss.store(&mut out.score[block].0);
            for (values, step) in out.position.iter_mut().zip(step) {
                V::load(&values[block].0).add(step).store(&mut values[block].0);
            }
        }
    }

    /// The records of eight draws, turned so that lanes are draws.
    #[inline(always)]
    fn gather<V: Lanes>(&self, block: usize, out: &mut Candidates) {
        let stride = self.stride();
        let draw = |lane: usize| out.draws[(block * LANES + lane).min(out.draws.len() - 1)];
        for piece in 0..stride {
            let rows = std::array::from_fn(|lane| V::load(&self.records[draw(lane) * stride + piece].0));
            for (i, column) in V::transpose(rows).into_iter().enumerate() {
                column.store(&mut out.records[piece * LANES + i].0);
            }
        }
    }

    /// The normal equations around eight draws at their present linear parameters.
    #[inline(always)]
    fn system<V: Lanes, const P: usize>(&self, problem: &Problem<'_>, out: &Candidates, block: usize) -> System<V, P> {
        let (n, g) = (self.n_labels, self.n_pools);
        let record = |index: usize| V::load(&out.records[index].0);
        let present: [V; P] =
            std::array::from_fn(|p| out.position.get(p).map_or(V::splat(0.0), |values| V::load(&values[block].0)));
        let prior = (1 + n) * g;
        let mut system = System { loss: record(prior), right: [V::splat(0.0); P], normal: [[V::splat(0.0); P]; P] };
        for i in 0..n {
            system.right[i] = record(prior + 1 + i).multiply(V::splat(-0.5));
            for j in 0..=i {
                system.normal[i][j] = record(prior + 1 + n + i * (i + 1) / 2 + j);
            }
            system.normal[i][i] = system.normal[i][i].add(V::splat(1.0 / (REACH * REACH)));
        }
        for (index, &(pool, ln_flux, weight)) in problem.pools.iter().enumerate() {
            let mut residual = V::splat(ln_flux).subtract(record(pool));
            let slopes: [V; P] = std::array::from_fn(|p| match p < n {
                true => record((1 + p) * g + pool),
                false => problem.slopes.get(p - n).map_or(V::splat(0.0), |slopes| V::splat(slopes[index])),
            });
            for p in n..P {
                residual = residual.subtract(slopes[p].multiply(present[p]));
            }
            system.add(residual, slopes, V::splat(weight));
        }
        for (l, prior) in problem.linear_priors.iter().enumerate() {
            if let Some((value, weight)) = prior {
                system.add_one(n + l, V::splat(*value).subtract(present[n + l]), V::splat(1.0), V::splat(*weight));
            }
        }
        if let Some((l, missing, value, inverse_error)) = problem.parallax {
            let parallax = exp(present[n + l].add(V::splat(missing)));
            let slope = parallax.multiply(V::splat(inverse_error));
            let residual = V::splat(value).subtract(parallax).multiply(V::splat(inverse_error));
            system.add_one(n + l, residual, slope, V::splat(1.0));
        }
        for &(label, value, weight) in &problem.labels {
            let at_draw: [f32; LANES] = std::array::from_fn(|lane| {
                let draw = out.draws[(block * LANES + lane).min(out.draws.len() - 1)];
                floats(&problem.draws.labels[label])[draw]
            });
            system.add_one(label, V::splat(value).subtract(V::load(&at_draw)), V::splat(1.0), V::splat(weight));
        }
        system
    }
}

/// Eight parabolas loss − 2 right·x + xᵀ normal x (the lower triangle).
struct System<V, const P: usize> {
    loss: V,
    right: [V; P],
    normal: [[V; P]; P],
}

impl<V: Lanes, const P: usize> System<V, P> {
    /// Adds weight·(residual − slopes·x)².
    #[inline(always)]
    fn add(&mut self, residual: V, slopes: [V; P], weight: V) {
        let weighted = residual.multiply(weight);
        self.loss = weighted.multiply_add(residual, self.loss);
        for i in 0..P {
            self.right[i] = weighted.multiply_add(slopes[i], self.right[i]);
            let slope = slopes[i].multiply(weight);
            for j in 0..=i {
                self.normal[i][j] = slope.multiply_add(slopes[j], self.normal[i][j]);
            }
        }
    }

    /// The same where only parameter `p` has a slope.
    #[inline(always)]
    fn add_one(&mut self, p: usize, residual: V, slope: V, weight: V) {
        let weighted = residual.multiply(weight);
        self.loss = weighted.multiply_add(residual, self.loss);
        self.right[p] = weighted.multiply_add(slope, self.right[p]);
        self.normal[p][p] = slope.multiply(weight).multiply_add(slope, self.normal[p][p]);
    }

    /// Minimum of the `n` parameters and the loss there, the last one being at least its `limit`.
    #[inline(always)]
    fn solve(&mut self, n: usize, limit: Option<V>) -> ([V; P], V) {
        // LDLᵀ: `normal` becomes L (below the diagonal), `scaled` LD.
        let (mut inverse, mut scaled) = ([V::splat(0.0); P], [[V::splat(0.0); P]; P]);
        let mut x = self.right;
        let mut loss = self.loss;
        for i in 0..P {
            for j in 0..i {
                let mut sum = self.normal[i][j];
                for k in 0..j {
                    sum = sum.subtract(scaled[i][k].multiply(self.normal[j][k]));
                }
                scaled[i][j] = sum;
                self.normal[i][j] = sum.multiply(inverse[j]);
                x[i] = x[i].subtract(self.normal[i][j].multiply(x[j]));
            }
            let diagonal = self.normal[i][i];
            let mut pivot = diagonal;
            for k in 0..i {
                pivot = pivot.subtract(scaled[i][k].multiply(self.normal[i][k]));
            }
            // A direction without data, or lost in the rounding of its diagonal, hardly moves.
            pivot = pivot.max(diagonal.multiply(V::splat(SMALLEST_PIVOT)).add(V::splat(SMALLEST_PIVOT)));
            self.normal[i][i] = pivot;
            inverse[i] = V::splat(1.0).divide(pivot);
            loss = loss.subtract(x[i].multiply(x[i]).multiply(inverse[i]));
        }
        for i in 0..P {
            x[i] = x[i].multiply(inverse[i]);
        }
        if let Some(limit) = limit {
            let free = x[n - 1];
            x[n - 1] = free.max(limit);
            let excess = x[n - 1].subtract(free);
            loss = excess.multiply(excess).multiply_add(self.normal[n - 1][n - 1], loss);
        }
        for i in (0..P).rev() {
            for j in i + 1..P {
                x[i] = x[i].subtract(self.normal[j][i].multiply(x[j]));
            }
        }
        (x, loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Matrix3, Vector3};

    /// Three residuals of three parameters, in the first lane.
    fn system() -> (System<Portable, 3>, Matrix3<f64>, Vector3<f64>, f64) {
        let rows = [(0.7, [1.0, 0.2, -0.4], 2.0), (-0.3, [0.1, 1.5, 0.3], 1.0), (0.4, [0.5, -0.2, 0.9], 4.0)];
        let zero = Portable::splat(0.0);
        let mut system = System { loss: zero, right: [zero; 3], normal: [[zero; 3]; 3] };
        let (mut normal, mut right, mut loss) = (Matrix3::zeros(), Vector3::zeros(), 0.0);
        for (residual, slopes, weight) in rows {
            system.add(Portable::splat(residual), slopes.map(Portable::splat), Portable::splat(weight));
            let (slopes, weight) = (Vector3::from(slopes.map(f64::from)), f64::from(weight));
            normal += slopes * slopes.transpose() * weight;
            right += slopes * weight * f64::from(residual);
            loss += weight * f64::from(residual).powi(2);
        }
        system.add_one(2, Portable::splat(-0.6), Portable::splat(2.0), Portable::splat(3.0));
        normal[(2, 2)] += 12.0;
        right[2] -= 3.6;
        loss += 1.08;
        (system, normal, right, loss)
    }

    fn first_lane(value: Portable) -> f64 {
        let mut lanes = [0.0; LANES];
        value.store(&mut lanes);
        f64::from(lanes[0])
    }

    #[test]
    fn steps_are_those_of_least_squares() {
        let (mut system, normal, right, loss) = system();
        let expected = normal.try_inverse().unwrap() * right;
        let (step, least) = system.solve(3, None);
        assert!((0..3).all(|i| (first_lane(step[i]) - expected[i]).abs() < 1e-5));
        assert!((first_lane(least) - (loss - right.dot(&expected))).abs() < 1e-5);
    }

    #[test]
    fn an_amount_stopped_at_its_limit_moves_the_others() {
        let (mut system, normal, right, loss) = system();
        let limit = 0.3;
        let (step, least) = system.solve(3, Some(Portable::splat(limit)));
        let limit = f64::from(limit);
        let others = normal.fixed_view::<2, 2>(0, 0).try_inverse().unwrap()
            * (right.fixed_rows::<2>(0) - normal.fixed_view::<2, 1>(0, 2) * limit);
        let x = Vector3::new(others[0], others[1], limit);
        assert!((0..3).all(|i| (first_lane(step[i]) - x[i]).abs() < 1e-5));
        assert!((first_lane(least) - (loss - 2.0 * right.dot(&x) + x.dot(&(normal * x)))).abs() < 1e-4);
    }
}
