//! Batches of independent small minimisation problems (one per star). Knows nothing of stars.
//!
//! A problem is what implements [`NormalEquations`] and [`Problems`]; a [`Minimiser`] drives a batch of them,
//! each along its own path with its own damping, acceptance and [`Status`], and finished problems leave the
//! batch. [`minimise_in_chunks`] spreads many problems over threads without changing a bit of any result.
//!
//! | file | concept |
//! |---|---|
//! | `levenberg_marquardt` | damped Gauss–Newton, the default: a few iterations a star |
//! | `walker` | one problem on its way: proposals, acceptance, damping, convergence |
//! | `newton` | the end of a search that creeps, by steps of the exact Hessian |
//! | `first_order` | the published Adam and gradient-descent rounds |
//! | `step` | one damped step inside a box |
//! | `barrier`, `walls` | what a step knows of a positive quantity, and of several |
//! | `hessian` | the exact Hessian by differences of gradients, for problems without a better one |
//! | `chunks` | many problems, several threads, results in order |
//! | `on_device` | the same method with everything on an accelerator |
//! | `evaluated` | starting points whose normal equations are known |
//! | `known` | searches that stop as soon as they lead to a known optimum |
//! | `subset` | some problems of a larger batch |
//! | `method` | what a method is, and the choice of one |
//! | `dense` | small symmetric matrices |

mod barrier;
mod chunks;
pub mod dense;
mod evaluated;
mod first_order;
mod hessian;
#[cfg(test)]
mod independent;
mod known;
mod levenberg_marquardt;
mod method;
mod newton;
pub mod on_device;
mod step;
mod subset;
#[cfg(test)]
mod test_problems;
mod walker;
mod walls;

pub use barrier::Barrier;
pub(crate) use chunks::join;
pub use chunks::minimise_in_chunks;
pub use evaluated::{Evaluated, Prediction, evaluate_in_chunks};
pub use first_order::{FirstOrder, Round};
pub use known::{AreApart, EQUAL_LOSS, KnownOptima, Rivals};
pub use levenberg_marquardt::LevenbergMarquardt;
pub use method::{Method, Minimiser, OwnMethod};
pub use newton::Curvature;
pub use step::Point;
pub use subset::Subset;

use crate::error::{Error, Result};
use ndarray::{Array2, Array3, ArrayView1, ArrayView2, Axis};

/// Value, gradient and positive semi-definite curvature of the losses of several independent problems.
///
/// # Shapes
/// `loss [n]`, `gradient [n, P]` = ∂loss/∂x, `curvature [n, P, P]` ≈ ∂²loss/∂x² (Gauss–Newton; loss = −2 ln
/// P, so 2 JᵀC⁻¹J).
#[derive(Debug, Clone)]
pub struct Normal {
    pub loss: Vec<f64>,
    pub gradient: Array2<f64>,
    pub curvature: Array3<f64>,
}

impl Normal {
    /// Of `n` problems, all zero.
    pub fn zeros(n: usize, n_parameters: usize) -> Self {
        let p = n_parameters;
        Self { loss: vec![0.0; n], gradient: Array2::zeros((n, p)), curvature: Array3::zeros((n, p, p)) }
    }
}

/// What an optimiser needs to know of a batch of independent problems. What a method may use beyond it is
/// [`Problems`].
///
/// A problem whose loss is not finite at a point says so with a non-finite `loss`; that is never an `Err`.
/// `Err` is for failures of the whole batch (device, shape). Batches of 256–1024 problems are what the
/// optimisers pass on where they can.
pub trait NormalEquations: Sync {
    /// Number of problems.
    fn n_problems(&self) -> usize;

    /// Number of free coordinates P of every problem.
    fn n_parameters(&self) -> usize;

    /// Loss, gradient and curvature of the named problems at `coordinates [n, P]` (row `i` belongs to
    /// `problems[i]`).
    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal>;

    /// Loss alone `[n]`.
    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>>;
}

/// What a method may use of a batch of problems, where they have it; an implementation without a line has
/// none of it.
pub trait Problems: NormalEquations {
    /// Loss `[n]` and gradient `[n, P]`, for first-order methods. Worth overriding where the curvature costs
    /// extra.
    fn gradient(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<(Vec<f64>, Array2<f64>)> {
        let normal = self.normal_equations(problems, coordinates)?;
        Ok((normal.loss, normal.gradient))
    }

    /// Hessian ∂²loss/∂x² `[n, P, P]`, without the Gauss–Newton approximation and hence not always positive
    /// semi-definite.
    ///
    /// By central differences of gradients over a tenth of a standard deviation unless overridden (2 P + 1
    /// evaluations, relative accuracy about 1e-2 of the third-derivative terms); an engine with second
    /// derivatives overrides it.
    fn hessian(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Array3<f64>> {
        hessian::by_differences(self, problems, coordinates)
    }

    /// An evaluator of single problems, of an engine that works on one after the other and gains nothing from
    /// batches.
    fn evaluator(&self) -> Option<Box<dyn Evaluator + '_>> {
        None
    }

    /// The coordinates that are logarithms of positive quantities with flat priors; gradient and curvature
    /// contain the −2 s and 2 s² of these priors.
    fn barriers(&self) -> Vec<Barrier> {
        Vec::new()
    }

    /// The stop rule ([`StopRule::may_stop`]); [`Subset::stopping_by`] gives one to any problems.
    fn may_stop(&self, _problem: usize, _proposal: &Proposal<'_>) -> bool {
        false
    }
}

/// When a search may stop before its end.
pub trait StopRule: Sync {
    /// Whether a problem that has come so far may stop there, as [`Status::Known`].
    fn may_stop(&self, problem: usize, proposal: &Proposal<'_>) -> bool;
}

/// A point of a search and where its next step is expected to lead.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    pub coordinates: &'a [f64],
    pub loss: f64,
    /// Coordinates after the step.
    pub trial: &'a [f64],
    /// The loss that the local model predicts there.
    pub predicted_loss: f64,
}

/// Evaluates single problems in working memory of its own.
pub trait Evaluator {
    /// Sets loss, gradient and curvature of a problem at the coordinates of `point`, to the bits of
    /// [`NormalEquations::normal_equations`].
    fn evaluate(&mut self, problem: usize, point: &mut Point);
}

/// How a problem ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Scaled gradient and predicted decrease below tolerance.
    Converged,
    /// No step lowers the loss any more, above the convergence tolerance.
    Stalled,
    /// Converged with at least one coordinate on a bound.
    AtBound,
    /// Iterations used up.
    IterationLimit,
    /// Stopped on its way to an optimum that was known already ([`Problems::may_stop`]).
    Known,
    /// The loss was not finite at the start.
    Failed,
}

impl Status {
    /// Whether it ended at an optimum, inside or on a bound.
    pub fn is_optimum(self) -> bool {
        matches!(self, Self::Converged | Self::AtBound)
    }
}

/// Box bounds of the coordinates, the same for all problems; infinite where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
}

impl Bounds {
    /// No bounds on `n_parameters` coordinates.
    pub fn unbounded(n_parameters: usize) -> Self {
        Self { lower: vec![f64::NEG_INFINITY; n_parameters], upper: vec![f64::INFINITY; n_parameters] }
    }

    /// The coordinates that are not on a bound.
    pub fn inside(&self, coordinates: ArrayView1<'_, f64>) -> Vec<usize> {
        let is_inside = |p: &usize| coordinates[*p] > self.lower[*p] && coordinates[*p] < self.upper[*p];
        (0..coordinates.len()).filter(is_inside).collect()
    }

    /// Whether any coordinate lies on a bound.
    fn touched_by(&self, coordinates: &[f64]) -> bool {
        coordinates.iter().zip(self.lower.iter().zip(&self.upper)).any(|(x, (lower, upper))| x <= lower || x >= upper)
    }

    /// Moves every coordinate of `[n, P]` into the box; a NaN stays.
    fn clamp_rows(&self, coordinates: &mut Array2<f64>) {
        for mut row in coordinates.axis_iter_mut(Axis(0)) {
            for (x, (lower, upper)) in row.iter_mut().zip(self.lower.iter().zip(&self.upper)) {
                *x = x.clamp(*lower, *upper);
            }
        }
    }
}

/// Optimum of every problem.
///
/// # Shapes
/// `coordinates` and `gradient [n, P]`, `curvature [n, P, P]`, all others `[n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    pub coordinates: Array2<f64>,
    /// Gradient there, which vanishes but for coordinates on a bound, from methods that know it; `[0, P]`
    /// from others.
    pub gradient: Array2<f64>,
    /// Curvature there (that of [`Normal`]), from methods that know it; `[0, P, P]` from others.
    pub curvature: Array3<f64>,
    pub loss: Vec<f64>,
    pub status: Vec<Status>,
    pub n_iterations: Vec<u32>,
}

impl Solution {
    /// Curvature of problem `row` where it ended, from methods that know it.
    pub fn curvature_of(&self, row: usize) -> Option<ArrayView2<'_, f64>> {
        let is_known = self.curvature.len_of(Axis(0)) == self.loss.len();
        is_known.then(|| self.curvature.index_axis(Axis(0), row))
    }
}

/// Checks start and bounds against the `shape` (problems, coordinates), and returns the start inside the
/// bounds, with the bounds.
fn prepare(shape: (usize, usize), mut start: Array2<f64>, bounds: Option<&Bounds>) -> Result<(Array2<f64>, Bounds)> {
    if start.dim() != shape {
        return Err(Error::usage("start of the minimisation")
            .found(format!("shape {:?}", start.dim()))
            .expected(format!("{shape:?} (problems, coordinates)")));
    }
    let bounds = bounds.cloned().unwrap_or_else(|| Bounds::unbounded(shape.1));
    if bounds.lower.len() != shape.1 || bounds.upper.len() != shape.1 {
        return Err(Error::usage("bounds of the minimisation")
            .found(format!("{} lower and {} upper bounds", bounds.lower.len(), bounds.upper.len()))
            .expected(format!("{} of each", shape.1)));
    }
    if let Some((k, (lower, upper))) = bounds
        .lower
        .iter()
        .zip(&bounds.upper)
        .enumerate()
        .find(|(_, (lower, upper))| lower > upper || lower.is_nan() || upper.is_nan())
    {
        return Err(Error::usage(format!("bounds of coordinate {k}"))
            .found(format!("{lower} to {upper}"))
            .expected("lower ≤ upper"));
    }
    bounds.clamp_rows(&mut start);
    Ok((start, bounds))
}

/// The error of an engine whose answer does not have the shape it was asked for.
fn check_shape(found: &[usize], expected: &[usize]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::numerical("evaluation of a batch of problems").found(format!("shape {found:?}")).expected(format!("{expected:?}")))
}

/// `values` must lie in a range of a method's configuration.
fn check_setting(place: &str, value: f64, valid: bool, expected: &str) -> Result<()> {
    if valid && value.is_finite() {
        return Ok(());
    }
    Err(Error::usage(place)
        .found(value.to_string())
        .expected(expected)
        .remedy("Leave the key out for its default; `photosphere recipe fit` prints it."))
}
