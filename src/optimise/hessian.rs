//! Hessians by central differences of gradients.

use super::{Problems, check_shape};
use crate::error::Result;
use ndarray::{Array2, Array3, ArrayView2, s};

/// Length of the difference step in conditional standard deviations √(2/curvature).
const STEP_IN_ERRORS: f64 = 0.1;

/// Step where a coordinate has no curvature to take a scale from.
const STEP_WITHOUT_CURVATURE: f64 = 1e-3;

/// Symmetrised central differences of the gradient: `H[i, j] = (g_i(x + h e_j) − g_i(x − h e_j)) / 2h`,
/// averaged with `H[j, i]`.
///
/// The curvature sets the step, so single-precision noise in the gradient and third derivatives are both kept
/// at about 1 %.
pub(super) fn by_differences<P: Problems + ?Sized>(
    problem: &P,
    problems: &[usize],
    coordinates: ArrayView2<'_, f64>,
) -> Result<Array3<f64>> {
    let (n, p) = coordinates.dim();
    let curvature = problem.normal_equations(problems, coordinates)?.curvature;
    check_shape(curvature.shape(), &[n, p, p])?;
    let step = Array2::from_shape_fn((n, p), |(i, j)| {
        let step = STEP_IN_ERRORS * (2.0 / curvature[[i, j, j]]).sqrt();
        if step.is_finite() && step > 0.0 { step } else { STEP_WITHOUT_CURVATURE }
    });
    let mut slopes = Array3::zeros((n, p, p));
    for j in 0..p {
        let mut ahead = coordinates.to_owned();
        let mut behind = coordinates.to_owned();
        ahead.column_mut(j).zip_mut_with(&step.column(j), |x, h| *x += h);
        behind.column_mut(j).zip_mut_with(&step.column(j), |x, h| *x -= h);
        // The width actually travelled, after rounding.
        let width = &ahead.column(j) - &behind.column(j);
        let difference = problem.gradient(problems, ahead.view())?.1 - problem.gradient(problems, behind.view())?.1;
        let slope = difference / width.insert_axis(ndarray::Axis(1));
        slopes.slice_mut(s![.., .., j]).assign(&slope);
    }
    let transposed = slopes.view().permuted_axes([0, 2, 1]);
    Ok((&slopes + &transposed) * 0.5)
}

#[cfg(test)]
mod tests {
    use super::super::test_problems::rosenbrock;
    use super::*;
    use ndarray::array;

    /// Hessian of (1 − x)² + 100 (y − x²)²: [[1200 x² − 400 y + 2, −400 x], [−400 x, 200]].
    #[test]
    fn hessian_of_rosenbrock_is_indefinite_where_gauss_newton_is_not() {
        let problem = rosenbrock(2);
        let hessian = problem.hessian(&[0, 1], array![[1.0, 1.0], [0.1, 1.0]].view()).unwrap();
        for (found, expected) in hessian.iter().zip([802.0, -400.0, -400.0, 200.0, -386.0, -40.0, -40.0, 200.0]) {
            assert!((found - expected).abs() < 5.0, "{found} {expected}");
        }
    }
}
