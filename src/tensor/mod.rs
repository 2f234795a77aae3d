//! Tensors: the only room that names burn's backend. [`Tensor`], [`Device`] and host copies, [`Weights`] (the
//! global weights of a model and their optimisers), [`Jet`] (forward-mode derivatives over tensors) and the
//! derivative check; for the processor's own kernels, eight lanes of floats and their functions, and four of
//! doubles; networks as data ([`layers`]). Knows no stars.

pub mod check;
pub(crate) mod cholesky;
mod derivatives;
mod descent;
mod device;
pub(crate) mod file;
pub(crate) mod functions;
mod jet;
pub(crate) mod lanes;
pub mod layers;
mod product;
pub(crate) mod quads;
pub(crate) mod row_products;
mod weights;

pub use derivatives::Derivatives;
pub use descent::{Descent, DescentMethod};
pub use device::{Device, Precision};
pub use jet::{Jet, Order};
pub use product::{Factor, matmul};
pub use weights::{WeightSpecification, Weights, biases_behind_sigmoids};

pub use burn::tensor::Element;

use burn::Dispatch;

/// A float tensor with `D` axes on whichever device it was made.
pub type Tensor<const D: usize> = burn::tensor::Tensor<Dispatch, D>;

/// A tensor of truth values.
pub type Mask<const D: usize> = burn::tensor::Tensor<Dispatch, D, burn::tensor::Bool>;

/// Positions along an axis.
pub type Indices = burn::tensor::Tensor<Dispatch, 1, burn::tensor::Int>;

/// Host copy of a tensor's values in row-major order, converted to `T` (f32 or f64).
pub fn to_host<T: Element, const D: usize>(tensor: Tensor<D>) -> Vec<T> {
    // `convert` makes the element type T, so that `into_vec` cannot fail.
    tensor.into_data().convert::<T>().into_vec().unwrap_or_default()
}

/// Host copy of a tensor's values in row-major order, as f64 whatever its precision.
pub fn to_f64<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    to_host(tensor)
}
