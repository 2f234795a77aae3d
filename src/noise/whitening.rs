//! Whitening of a batch of stars: a leading dense block (packed triangle) and a diagonal tail.

/// Whitening matrices L of `N` stars over `W` wavelengths with LᵀL = C⁻¹.
///
/// The first `block` wavelengths share a dense covariance; the others are independent. `block = 0` is the diagonal case.
/// A wavelength with infinite variance (missing) has a zero row and a zero column: it adds nothing to χ² or to a gradient.
///
/// # Shapes
/// * `triangle [N, block·(block+1)/2]`: lower triangle of L row by row, `L[i][j]` at `i(i+1)/2 + j` for `j ≤ i`;
/// * `diagonal [N, W − block]`: 1/σ, zero where missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    /// Length of the leading dense block.
    pub block: usize,
    /// Packed lower triangles, star after star.
    pub triangle: Vec<f32>,
    /// Inverse errors of the wavelengths after the block, star after star.
    pub diagonal: Vec<f32>,
    /// Number of wavelengths.
    pub n_wavelengths: usize,
}
