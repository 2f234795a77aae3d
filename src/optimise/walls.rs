//! Several [`Barrier`]s in one step: their pulls depend on one another.

use super::Barrier;
use super::dense::cholesky_solve_in_place;

/// Most turns of [`pulls_at_minimum`], and the relative change at which it ends: steps are judged by the loss, so that one in the direction of
/// the minimum is as good as one to its last digit.
const MOST_TURNS: usize = 64;
const TURNS_TOLERANCE: f64 = 1e-12;

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

    /// Takes the pulls of the barriers into the displacements `solution [m]`, of which `factor [m, m]` is the Cholesky factor.
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

/// The pulls of several barriers on their coordinates, and x over x₀ of each, at the minimum of ½(d − `displacement`)ᵀ `response`⁻¹(d − `displacement`)
/// − 2 Σ ln x: `displacement [K]` is the minimum without the barriers, `response [K, K]` what a unit pull on one moves all of them by.
///
/// With the pulls of the others, each has its closed form; taken in turn, that is ascent along the coordinates of the dual problem, which is concave,
/// so that it converges. For one barrier the first turn is exact.
fn pulls_at_minimum(barriers: &[Barrier], displacement: &[f64], response: &[f64], pulls: &mut [f64], ratios: &mut [f64]) {
    let k = barriers.len();
    pulls.fill(0.0);
    for turn in 0..if k > 1 { MOST_TURNS } else { 1 } {
        let mut largest_change = 0.0_f64;
        for (i, barrier) in barriers.iter().enumerate() {
            let others: f64 = (0..k).filter(|&j| j != i).map(|j| response[i * k + j] * pulls[j]).sum();
            ratios[i] = barrier.ratio_at_minimum(displacement[i] + others, response[i * k + i]);
            let pull = barrier.pull(ratios[i]);
            largest_change = largest_change.max((pull - pulls[i]).abs() / pull);
            pulls[i] = pull;
        }
        if turn > 0 && largest_change <= TURNS_TOLERANCE {
            break;
        }
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
