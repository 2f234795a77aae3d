//! The flux term on the device: χ² = |L(f_pred − f_obs)|², its gradient and Gauss–Newton curvature.
//!
//! Residual and Jacobian are the rows of one matrix [r, J] a star; whitening is one batched product with Lᵀ,
//! and all sums of the normal equations are the products of the whitened rows with each other.

use crate::error::Result;
use crate::model::ForwardModel;
use crate::observations::Observations;
use crate::optimise::on_device::TensorNormal;
use crate::tensor::{Device, Factor, Indices, Order, Tensor, matmul};

/// Observed fluxes of `n` stars and their whitening.
pub(super) struct FluxTerm {
    /// `[n, W]`.
    observed: Tensor<2>,
    /// L of the leading block, transposed and with its zeros, `[n, B, B]`.
    block: Option<Factor<3>>,
    /// Inverse errors of the wavelengths after the block, `[n, 1, W − B]`.
    tail: Option<Tensor<3>>,
}

impl FluxTerm {
    /// Uploads the named stars: packed triangles travel, and are unpacked on the device.
    pub fn upload(observations: &Observations, stars: &[usize], device: &Device) -> Self {
        let (n, w, b) = (stars.len(), observations.grid.len(), observations.whitening.block);
        let whitening = observations.whitening.select(stars);
        let flux = stars.iter().flat_map(|&star| observations.flux.row(star).to_vec()).collect();
        let packed = whitening.triangle;
        Self {
            observed: device.tensor_f32(flux, [n, w]),
            block: (b > 0).then(|| Factor::new(unpack(packed, n, b, device))),
            tail: (b < w).then(|| device.tensor_f32(whitening.diagonal, [n, 1, w - b])),
        }
    }

    /// χ² with derivatives to the `free` coordinates at `coordinates [n, P]` (all of them).
    pub fn normal_equations(&self, model: &ForwardModel, coordinates: Tensor<2>, free: &[usize]) -> Result<TensorNormal> {
        let ([n, w], p) = (self.observed.dims(), free.len());
        let jet = model.flux(coordinates, free, Order::First)?;
        let residual = (jet.value.clone() - self.observed.clone()).reshape([1, n, w]);
        let jacobian = jet.jacobian_rows(p).unwrap_or_else(|| model.device().zeros([p, n, w]));
        let whitened = self.whiten(Tensor::cat(vec![residual, jacobian], 0).swap_dims(0, 1));
        let products = matmul(whitened.clone(), whitened.swap_dims(1, 2));
        Ok(TensorNormal {
            loss: products.clone().slice([0..n, 0..1, 0..1]).reshape([n]),
            gradient: products.clone().slice([0..n, 1..1 + p, 0..1]).reshape([n, p]) * 2.0,
            curvature: products.slice([0..n, 1..1 + p, 1..1 + p]) * 2.0,
        })
    }

    /// The given stars.
    pub fn select(&self, stars: &Indices) -> Self {
        let rows = |tensor: &Tensor<3>| tensor.clone().select(0, stars.clone());
        Self {
            observed: self.observed.clone().select(0, stars.clone()),
            block: self.block.as_ref().map(|block| block.select(stars)),
            tail: self.tail.as_ref().map(rows),
        }
    }

    /// L·v for the rows v of `vectors [n, rows, W]`.
    fn whiten(&self, vectors: Tensor<3>) -> Tensor<3> {
        let [n, rows, w] = vectors.dims();
        let b = self.block.as_ref().map_or(0, |block| block.dims()[1]);
        let leading = self.block.as_ref().map(|block| block.product(vectors.clone().slice([0..n, 0..rows, 0..b])));
        let tail = self.tail.as_ref().map(|tail| vectors.slice([0..n, 0..rows, b..w]) * tail.clone());
        Tensor::cat(leading.into_iter().chain(tail).collect(), 2)
    }
}

/// Lᵀ `[n, B, B]` from packed lower triangles L `[n, B(B+1)/2]`, row by row.
fn unpack(packed: Vec<f32>, n: usize, b: usize, device: &Device) -> Tensor<3> {
    let length = b * (b + 1) / 2;
    // Element (j, i) of Lᵀ is L[i, j]; what lies beyond the triangle is the zero appended to it.
    let sources: Vec<usize> =
        (0..b * b).map(|index| (index / b, index % b)).map(|(j, i)| if j <= i { i * (i + 1) / 2 + j } else { length }).collect();
    let packed = Tensor::cat(vec![device.tensor_f32(packed, [n, length]), device.zeros([n, 1])], 1);
    packed.select(1, device.indices(&sources)).reshape([n, b, b])
}
