//! Noise: covariances, their inflation and the whitening L with LᵀL = C⁻¹, so that χ² = |L Δf|². Knows no
//! instruments.

mod apply;
mod factor;
mod inflation;
mod kernel;
mod row;
pub mod triangle;
mod whitening;
mod widen;

pub use apply::Real;
pub use factor::EigenvalueFloor;
pub use inflation::Inflation;
pub use row::WhiteningRow;
pub use whitening::Whitening;
