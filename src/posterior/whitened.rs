//! Fluxes and their whitened derivatives, which an evaluation leaves behind.

use ndarray::{Array2, Array3, Axis};

/// Of n stars: predicted fluxes `[n, W]`; whitened, model less data `[n, W]` and the derivatives of the flux
/// along the free coordinates `[n, F, W]`.
#[derive(Debug, Clone)]
pub struct WhitenedFlux {
    pub flux: Array2<f32>,
    pub residual: Array2<f32>,
    pub jacobian: Array3<f32>,
}

impl WhitenedFlux {
    pub(super) fn zeros(n: usize, f: usize, w: usize) -> Self {
        Self { flux: Array2::zeros((n, w)), residual: Array2::zeros((n, w)), jacobian: Array3::zeros((n, f, w)) }
    }

    /// Takes the flux of star `i`, and whitened rows: the residual, then the derivatives.
    pub(super) fn set<'r>(&mut self, i: usize, flux: impl Iterator<Item = f32>, rows: impl Fn(usize) -> &'r [f32]) {
        self.flux.row_mut(i).iter_mut().zip(flux).for_each(|(to, from)| *to = from);
        self.residual.row_mut(i).iter_mut().zip(rows(0)).for_each(|(to, from)| *to = *from);
        for (p, mut row) in self.jacobian.index_axis_mut(Axis(0), i).outer_iter_mut().enumerate() {
            row.iter_mut().zip(rows(1 + p)).for_each(|(to, from)| *to = *from);
        }
    }
}
