//! Batches of small problems minimised where their data lie: every number of a problem stays on the device
//! from its start to its end, and all problems of a batch take each operation together.
//!
//! The rules are those of [`LevenbergMarquardt`](super::LevenbergMarquardt) on the host, in the device's
//! precision; branches become masks. Problems that have ended are taken out of the batch every few
//! iterations, which is the only time that the host looks.
//!
//! | file | concept |
//! |---|---|
//! | `levenberg_marquardt` | the iteration: acceptance, damping, convergence, compaction |
//! | `step` | one damped step of every problem inside the box |
//! | `cholesky` | symmetric positive-definite systems of every problem |

mod cholesky;
mod levenberg_marquardt;
mod step;

use super::Barrier;
use crate::error::Result;
use crate::tensor::{Device, Indices, Mask, Tensor};

/// Losses of `n` problems with their derivatives, as tensors.
///
/// # Shapes
/// `loss [n]`, `gradient [n, P]`, `curvature [n, P, P]`; see [`Normal`](super::Normal).
#[derive(Debug, Clone)]
pub struct TensorNormal {
    pub loss: Tensor<1>,
    pub gradient: Tensor<2>,
    pub curvature: Tensor<3>,
}

/// What [`LevenbergMarquardt::minimise_on_device`](super::LevenbergMarquardt::minimise_on_device) needs to
/// know of a batch of independent problems that lies on a device.
///
/// A problem whose loss is not finite at a point has a loss that is not finite, and disturbs no other.
pub trait TensorProblem: Sized {
    /// Where the problems lie.
    fn device(&self) -> &Device;

    /// Number of problems.
    fn n_problems(&self) -> usize;

    /// Number of coordinates P of every problem.
    fn n_parameters(&self) -> usize;

    /// As [`Problems::barriers`](super::Problems::barriers).
    fn barriers(&self) -> Vec<Barrier> {
        Vec::new()
    }

    /// Loss, gradient and curvature of all problems at `coordinates [n, P]`.
    fn normal_equations(&self, coordinates: Tensor<2>) -> Result<TensorNormal>;

    /// The problems at the given positions, in that order.
    fn select(&self, problems: &Indices) -> Self;
}

/// 1 where the mask is set, 0 elsewhere, in the precision of `like`.
fn ones<const D: usize>(mask: Mask<D>, like: &Tensor<D>) -> Tensor<D> {
    like.zeros_like().mask_fill(mask, 1.0)
}

/// `chosen` where the mask of a problem is set, `other` elsewhere; one row a problem.
fn choose<const D: usize>(mask: &Mask<1>, chosen: &Tensor<D>, other: &Tensor<D>) -> Tensor<D> {
    let mut shape = [1; D];
    shape[0] = mask.dims()[0];
    other.clone().mask_where(mask.clone().reshape(shape).expand(other.dims()), chosen.clone())
}
