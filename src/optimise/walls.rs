//! Several [`Barrier`]s in one step: their pulls depend on one another.

use super::Barrier;
use super::dense::{cholesky_in_place, cholesky_solve_in_place};

/// Most steps of [`pulls_at_minimum`], and the promised decrease after which the next would be lost in
/// rounding.
const MOST_STEPS: usize = 64;
const SMALLEST_DECREMENT: f64 = 1e-16;

/// The barriers whose coordinates take part in a solution of at most so many free ones.
#[derive(Debug, Default)]
pub(super) struct Walls {
    barriers: Vec<Barrier>,
    /// Rows of their coordinates.
    rows: Vec<usize>,
    /// Where the solution leaves them without their pulls, and what these move them by, `[K]` and `[K, K]`.
    displacement: Vec<f64>,
    coupling: Vec<f64>,
    pulls: Vec<f64>,
    ratios: Vec<f64>,
    /// Changes of the coordinates.
    changes: Vec<f64>,
}

impl Walls {
    /// None of them.
    pub fn clear(&mut self) {
        self.barriers.clear();
        self.rows.clear();
        self.changes.clear();
    }

    /// One more, whose coordinate is that of `row`.
    pub fn push(&mut self, barrier: Barrier, row: usize) {
        self.barriers.push(barrier);
        self.rows.push(row);
    }

    /// The barrier of a row and the change of its coordinate.
    pub fn of_row(&self, row: usize) -> Option<(Barrier, f64)> {
        let k = self.rows.iter().position(|&other| other == row)?;
        Some((self.barriers[k], self.changes[k]))
    }

    /// Takes the pulls of the barriers into the displacements `solution [m]`, of which `factor [m, m]` is the
    /// Cholesky factor.
    pub fn solve(&mut self, factor: &[f64], solution: &mut [f64], response: &mut [f64]) {
        let (k, m) = (self.rows.len(), solution.len());
        for work in [&mut self.displacement, &mut self.pulls, &mut self.ratios] {
            work.clear();
            work.resize(k, 0.0);
        }
        self.coupling.clear();
        for (i, &row) in self.rows.iter().enumerate() {
            let response = &mut response[i * m..(i + 1) * m];
            response.fill(0.0);
            response[row] = 1.0;
            cholesky_solve_in_place(factor, m, response);
            self.coupling.extend(self.rows.iter().map(|&row| response[row]));
            self.displacement[i] = solution[row];
        }
        pulls_at_minimum(&self.barriers, &self.displacement, &self.coupling, &mut self.pulls, &mut self.ratios);
        for (response, pull) in response.chunks_exact(m.max(1)).zip(&self.pulls) {
            solution.iter_mut().zip(response).for_each(|(x, response)| *x += pull * response);
        }
        for (i, &row) in self.rows.iter().enumerate() {
            let (displacement, change) = self.barriers[i].step_to(self.ratios[i]);
            solution[row] = displacement;
            self.changes.push(change);
        }
    }
}

/// The pulls of several barriers on their coordinates, and x over x₀ of each, at the minimum of ½(d −
/// `displacement`)ᵀ `response`⁻¹(d − `displacement`) − 2 Σ ln x: `displacement [K]` is the minimum without
/// the barriers, `response [K, K]` what a unit pull on one moves all of them by.
///
/// One has a closed form. Several minimise the dual function ½ pᵀRp + pᵀ(d₀ + 1/s) − 2 Σ ln p, which is
/// convex, by Newton's steps that stay where it is defined and make it smaller.
fn pulls_at_minimum(barriers: &[Barrier], displacement: &[f64], response: &[f64], pulls: &mut [f64], ratios: &mut [f64]) {
    let k = barriers.len();
    for (i, barrier) in barriers.iter().enumerate() {
        ratios[i] = barrier.ratio_at_minimum(displacement[i], response[i * k + i]);
        pulls[i] = barrier.pull(ratios[i]);
    }
    if k < 2 {
        return;
    }
    let linear: Vec<f64> = barriers.iter().zip(displacement).map(|(barrier, d)| d + 1.0 / barrier.scale).collect();
    let moved = |p: &[f64], i: usize| (0..k).map(|j| response[i * k + j] * p[j]).sum::<f64>();
    let dual = |p: &[f64]| (0..k).map(|i| p[i] * (0.5 * moved(p, i) + linear[i]) - 2.0 * p[i].ln()).sum::<f64>();
    let (mut matrix, mut trial, mut value) = (vec![0.0; k * k], vec![0.0; k], dual(pulls));
    for _ in 0..MOST_STEPS {
        matrix.copy_from_slice(response);
        (0..k).for_each(|i| matrix[i * k + i] += 2.0 / (pulls[i] * pulls[i]));
        let descent: Vec<f64> = (0..k).map(|i| 2.0 / pulls[i] - moved(pulls, i) - linear[i]).collect();
        let mut step = descent.clone();
        if !cholesky_in_place(&mut matrix, k) {
            break;
        }
        cholesky_solve_in_place(&matrix, k, &mut step);
        let decrement: f64 = descent.iter().zip(&step).map(|(descent, step)| descent * step).sum();
        let mut length = 1.0;
        for _ in 0..MOST_STEPS {
            trial.iter_mut().zip(pulls.iter().zip(&step)).for_each(|(to, (pull, step))| *to = pull + length * step);
            if trial.iter().all(|pull| *pull > 0.0) && dual(&trial) <= value - 1e-4 * length * decrement {
                break;
            }
            length *= 0.5;
        }
        let reached = dual(&trial);
        // NaN, which is no better, included.
        let is_better = reached <= value;
        if is_better {
            pulls.copy_from_slice(&trial);
            value = reached;
        }
        if !is_better || decrement < SMALLEST_DECREMENT {
            break;
        }
    }
    for (ratio, (barrier, pull)) in ratios.iter_mut().zip(barriers.iter().zip(pulls.iter())) {
        *ratio = 2.0 * barrier.scale / pull;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two correlated quantities: at the minimum the gradient of the parabola is that of 2 Σ ln x.
    #[test]
    fn with_two_barriers_the_gradients_cancel() {
        let barriers = [Barrier { position: 0, scale: 0.8 }, Barrier { position: 1, scale: 1.3 }];
        for correlation in [0.0, 0.6, -0.95, 0.99] {
            let (a, b) = (0.3_f64, 2.0_f64);
            let response = [a * a, correlation * a * b, correlation * a * b, b * b];
            for displacement in [[0.4, -0.3], [-4.0, -2.0], [2.0, 9.0], [-9.0, 5.0]] {
                let (mut pulls, mut ratios) = ([0.0; 2], [0.0; 2]);
                pulls_at_minimum(&barriers, &displacement, &response, &mut pulls, &mut ratios);
                for i in 0..2 {
                    let d = barriers[i].step_to(ratios[i]).0;
                    let moved = displacement[i] + response[2 * i] * pulls[0] + response[2 * i + 1] * pulls[1];
                    assert!(
                        (moved - d).abs() < 1e-9 * (1.0 + displacement[i].abs()),
                        "{correlation} {displacement:?}: {moved} {d}"
                    );
                    assert!((pulls[i] * ratios[i] / (2.0 * barriers[i].scale) - 1.0).abs() < 1e-14 && ratios[i] > 0.0);
                }
            }
        }
        assert!(Barrier::validate_all(&[barriers[0], barriers[0]], 2).is_err() && Barrier::validate_all(&barriers, 2).is_ok());
    }
}
