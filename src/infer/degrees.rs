//! Degrees of freedom of χ² of the flux: the fluxes less what was fitted to them.
//!
//! With J the whitened Jacobian of the fluxes and A the curvature of −½ ln P in all its terms, the whitened
//! residuals of an optimum are those of the noise less H = J A⁻¹ Jᵀ of it, plus the pull of the other terms
//! towards their own centres. Where these terms are true (a parallax with its error, stars that are draws of
//! the prior) the residuals are N(0, 1 − H), and the mean of χ² is W − tr H. A parameter that a parallax or a
//! prior determines takes no degree of freedom from the fluxes; one that they alone determine takes one.

use crate::optimise::dense::{cholesky_in_place, cholesky_solve_in_place};
use ndarray::ArrayView2;

/// tr(F A⁻¹): how many of the parameters named in `moving` the fluxes determine, from their curvature F and
/// that of all terms A (`[F, F]` each, the same factor and coordinates). All of them count where A is
/// singular.
pub(super) fn fitted_to_flux(flux: ArrayView2<'_, f64>, total: ArrayView2<'_, f64>, moving: &[usize]) -> f64 {
    let n = moving.len();
    let mut factor: Vec<f64> = moving.iter().flat_map(|&p| moving.iter().map(move |&q| total[[p, q]])).collect();
    if !cholesky_in_place(&mut factor, n) {
        return n as f64;
    }
    let mut column = vec![0.0; n];
    let mut trace = 0.0;
    for (k, &p) in moving.iter().enumerate() {
        column.iter_mut().zip(moving).for_each(|(to, &q)| *to = flux[[q, p]]);
        cholesky_solve_in_place(&factor, n, &mut column);
        trace += column[k];
    }
    trace.clamp(0.0, n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn parameters_count_by_what_the_flux_says_of_them() {
        let flux = array![[4.0, 1.0], [1.0, 9.0]];
        assert!((fitted_to_flux(flux.view(), flux.view(), &[0, 1]) - 2.0).abs() < 1e-14);
        // A prior as strong as the flux takes half of a parameter away, a very strong one all of it.
        let half = &flux * 2.0;
        assert!((fitted_to_flux(flux.view(), half.view(), &[0, 1]) - 1.0).abs() < 1e-14);
        let held = &flux + &array![[1e9, 0.0], [0.0, 0.0]];
        assert!((fitted_to_flux(flux.view(), held.view(), &[0, 1]) - 1.0).abs() < 1e-8);
        // One at a bound does not move.
        assert!((fitted_to_flux(flux.view(), half.view(), &[1]) - 0.5).abs() < 1e-14);
        assert_eq!(fitted_to_flux(flux.view(), half.view(), &[]), 0.0);
        assert_eq!(fitted_to_flux(flux.view(), array![[1.0, 1.0], [1.0, 1.0]].view(), &[0, 1]), 2.0);
    }
}
