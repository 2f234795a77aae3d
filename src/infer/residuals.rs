//! Residuals of fits, as the check of a catalogue wants them.

use super::flags;
use super::part::Part;
use super::problem::Problem;
use crate::error::Result;
use crate::observations::Observations;
use crate::optimise::dense::invert_positive_semidefinite;
use crate::posterior::Posterior;
use crate::residuals::{Groups, MAGNITUDE, Mark, Responses, Whitened};
use ndarray::{ArrayView1, ArrayView2, Axis, s};

/// Flags of stars that say nothing of their catalogue: without an optimum, or where the model is not to be
/// trusted.
const ASIDE: i32 =
    flags::NOT_FITTED | flags::NOT_CONVERGED | flags::OUTSIDE_TRAINING_RANGE | flags::UNLIKELY_LABELS | flags::AT_LIMIT;

/// What residuals are made from.
pub(super) struct ResidualMaker<'a> {
    pub problem: &'a Problem<'a>,
    pub posterior: &'a Posterior<'a>,
    pub observations: &'a Observations,
    pub groups: &'a Groups,
    /// Names of the free parameters whose measured values constrain fits, whether or not these stars have
    /// any.
    pub constraints: &'a [String],
}

/// The mark of a star with these flags.
pub(super) fn mark(bits: i32) -> Mark {
    Mark {
        is_fitted: bits & flags::NOT_FITTED == 0,
        is_poor: bits & flags::POOR_FIT != 0,
        is_outside: bits & (flags::OUTSIDE_TRAINING_RANGE | flags::UNLIKELY_LABELS) != 0,
        is_in_cut: bits < flags::BASIC_CUT,
    }
}

impl ResidualMaker<'_> {
    /// Residuals of the stars of a part at their optima, whose free coordinates are `[n, F]`.
    ///
    /// They are those of the optimum that all parameters would have if none had a bound, by one Newton step:
    /// at E = 0 the data of half of the stars want less dust than none, and residuals that were left there
    /// would look like an offset along the extinction curve.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn of(&self, part: &Part, free: ArrayView2<'_, f64>) -> Result<Responses> {
        let n_free = free.ncols();
        let mut responses = Responses::none(part.stars.len(), self.groups, self.constraints);
        for (i, &bits) in part.flags.iter().enumerate() {
            (responses.chi_square[i], responses.degrees[i]) = (part.chi_square[i], part.degrees_of_freedom[i]);
            responses.marks[i] = mark(bits);
        }
        let rows_of: Vec<usize> = (0..part.stars.len()).filter(|&i| part.flags[i] & ASIDE == 0).collect();
        let stars: Vec<usize> = rows_of.iter().map(|&i| part.stars[i]).collect();
        let slopes = self.posterior.flux_slopes(&stars, free.select(Axis(0), &rows_of).view())?;
        let mut rows = Rows::new(self.groups, self.constraints.len(), n_free);
        for (at, (&i, &star)) in rows_of.iter().zip(&stars).enumerate() {
            let curvature = slopes.normal.curvature.index_axis(Axis(0), at);
            let half: Vec<f64> = curvature.iter().map(|element| 0.5 * element).collect();
            let Some(inverse) = invert_positive_semidefinite(&half, n_free) else { continue };
            rows.set_fluxes(self.observations, star, slopes.flux.row(at).as_slice().unwrap_or_default(), self.groups);
            for p in 0..n_free {
                rows.set_slope(p, slopes.jacobian.slice(s![at, p, ..]).as_slice().unwrap_or_default());
            }
            rows.whiten(self.observations, star, n_free);
            for (k, name) in self.constraints.iter().enumerate() {
                self.set_constraint(&mut rows, (k, name), star, free.row(i));
            }
            let gradient = slopes.normal.gradient.row(at);
            let step = |p: usize| -0.5 * (0..n_free).map(|q| inverse.matrix[p * n_free + q] * gradient[q]).sum::<f64>();
            (0..n_free).for_each(|p| rows.move_along(p, step(p)));
            responses.put(i, &rows.whitened(&inverse.matrix));
        }
        Ok(responses)
    }

    /// The measured value of a parameter as a datum of a star, if there is one.
    fn set_constraint(&self, rows: &mut Rows, (k, name): (usize, &String), star: usize, free: ArrayView1<'_, f64>) {
        let Some((value, error)) = self.observations.constraint(name, star).filter(|_| self.problem.constraints.contains(name))
        else {
            return;
        };
        let parameters = &self.problem.model.space.parameters;
        let Some(p) = self.posterior.free().iter().position(|&position| parameters[position].name == *name) else { return };
        let parameter = &parameters[self.posterior.free()[p]];
        let per_file_unit = parameter.model_units_per_file_unit;
        let fitted = parameter.model_value(free[p]) / per_file_unit;
        let slope = parameter.model_value_slope(free[p]) / per_file_unit;
        rows.set_constraint(k, (value - fitted) / error, 1.0 / error, (p, slope / error));
    }
}

/// Whitened rows of a star: the residual, directions of offsets `[Q]`, slopes `[F]`, each with W fluxes and K
/// constraints.
struct Rows {
    n_groups: usize,
    n_constraints: usize,
    n_fluxes: usize,
    /// First entry of every group.
    firsts: Vec<usize>,
    /// Fluxes `[1 + G + F][W]` before whitening, and a row of them after it.
    plain: Vec<f32>,
    white: Vec<f32>,
    /// `[1 + Q + F][W + K]`.
    rows: Vec<f64>,
}

impl Rows {
    fn new(groups: &Groups, n_constraints: usize, n_free: usize) -> Self {
        let (n_groups, n_fluxes) = (groups.len(), groups.of_entry.len());
        let first = |group: usize| groups.of_entry.iter().position(|&other| other == group).unwrap_or(0);
        let firsts = (0..n_groups).map(first).collect();
        let plain = vec![0.0; (1 + n_groups + n_free) * n_fluxes];
        let rows = vec![0.0; (1 + n_groups + n_constraints + n_free) * (n_fluxes + n_constraints)];
        Self { n_groups, n_constraints, n_fluxes, firsts, white: vec![0.0; n_fluxes], plain, rows }
    }

    fn set_fluxes(&mut self, observations: &Observations, star: usize, predicted: &[f64], groups: &Groups) {
        let w = self.n_fluxes;
        let observed = observations.flux.row(star);
        self.plain[..(1 + self.n_groups) * w].fill(0.0);
        for (k, ((predicted, observed), group)) in predicted.iter().zip(observed).zip(&groups.of_entry).enumerate() {
            self.plain[k] = (f64::from(*observed) - predicted) as f32;
            self.plain[(1 + group) * w + k] = (MAGNITUDE * predicted) as f32;
        }
    }

    fn set_slope(&mut self, f: usize, slope: &[f64]) {
        let start = (1 + self.n_groups + f) * self.n_fluxes;
        self.plain[start..start + self.n_fluxes].iter_mut().zip(slope).for_each(|(to, from)| *to = *from as f32);
    }

    /// Whitens the fluxes, and forgets the constraints.
    fn whiten(&mut self, observations: &Observations, star: usize, n_free: usize) {
        let (w, v) = (self.n_fluxes, self.n_fluxes + self.n_constraints);
        let n = 1 + self.n_groups + n_free;
        let whitening = &observations.whitening;
        let block = whitening.block;
        self.rows.fill(0.0);
        for row in 0..n {
            let (plain, white) = (&self.plain[row * w..(row + 1) * w], &mut self.white[..w]);
            // A band after the block has nothing to do with it.
            match row.checked_sub(1).and_then(|group| self.firsts.get(group)) {
                Some(&first) if first >= block => {
                    white[..block].fill(0.0);
                    let tail = white[block..].iter_mut().zip(&plain[block..]);
                    tail.zip(whitening.diagonal_of(star)).for_each(|((to, value), inverse)| *to = value * inverse);
                }
                _ => whitening.whiten(star, plain, white),
            }
            let row = if row > self.n_groups { row + self.n_constraints } else { row };
            self.rows[row * v..row * v + w].iter_mut().zip(&*white).for_each(|(to, from)| *to = f64::from(*from));
        }
    }

    fn set_constraint(&mut self, k: usize, residual: f64, direction: f64, (f, slope): (usize, f64)) {
        let v = self.n_fluxes + self.n_constraints;
        let column = self.n_fluxes + k;
        self.rows[column] = residual;
        self.rows[(1 + self.n_groups + k) * v + column] = direction;
        self.rows[(1 + self.n_groups + self.n_constraints + f) * v + column] = slope;
    }

    /// The residual after a step along a parameter.
    fn move_along(&mut self, f: usize, step: f64) {
        let v = self.n_fluxes + self.n_constraints;
        let (residual, rest) = self.rows.split_at_mut(v);
        let start = (self.n_groups + self.n_constraints + f) * v;
        residual.iter_mut().zip(&rest[start..start + v]).for_each(|(to, slope)| *to -= step * slope);
    }

    fn whitened<'a>(&'a self, covariance: &'a [f64]) -> Whitened<'a> {
        let v = self.n_fluxes + self.n_constraints;
        let (residual, rest) = self.rows.split_at(v);
        let (directions, slopes) = rest.split_at((self.n_groups + self.n_constraints) * v);
        Whitened { residual, directions, jacobian: slopes, covariance }
    }
}
