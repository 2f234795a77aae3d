//! Noise: covariances, their inflation and the whitening L with LᵀL = C⁻¹, so that χ² = |L Δf|². Knows no instruments.

mod whitening;

pub use whitening::Whitening;
