//! Batches of independent small minimisation problems (one per star): the [`NormalEquations`] trait, Levenberg–Marquardt and
//! first-order rounds. Knows nothing of stars.

use crate::error::Result;
use ndarray::{Array2, Array3, ArrayView2};

/// Value, gradient and positive semi-definite curvature of the losses of several independent problems.
///
/// # Shapes
/// `loss [n]`, `gradient [n, P]` = ∂loss/∂x, `curvature [n, P, P]` ≈ ∂²loss/∂x² (Gauss–Newton; loss = −2 ln P, so 2 JᵀC⁻¹J).
#[derive(Debug, Clone)]
pub struct Normal {
    pub loss: Vec<f64>,
    pub gradient: Array2<f64>,
    pub curvature: Array3<f64>,
}

/// What an optimiser needs to know of a batch of independent problems.
///
/// A problem whose loss is not finite at a point says so with a non-finite `loss`; that is never an `Err`. `Err` is for
/// failures of the whole batch (device, shape).
pub trait NormalEquations: Sync {
    /// Number of problems.
    fn n_problems(&self) -> usize;

    /// Number of free coordinates P of every problem.
    fn n_parameters(&self) -> usize;

    /// Loss, gradient and curvature of the named problems at `coordinates [n, P]` (row `i` belongs to `problems[i]`).
    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal>;

    /// Loss alone `[n]`.
    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>>;
}

/// How a problem ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Scaled gradient or predicted decrease below tolerance.
    Converged,
    /// No step lowers the loss any more, above the convergence tolerance.
    Stalled,
    /// Converged with at least one coordinate on a bound.
    AtBound,
    /// Iterations used up.
    IterationLimit,
    /// The loss was not finite at the start.
    Failed,
}

/// Box bounds of the coordinates, the same for all problems.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
}

/// Optimum of every problem.
///
/// # Shapes
/// `coordinates [n, P]`, all others `[n]`.
#[derive(Debug, Clone)]
pub struct Solution {
    pub coordinates: Array2<f64>,
    pub loss: Vec<f64>,
    pub status: Vec<Status>,
    pub n_iterations: Vec<u32>,
}
