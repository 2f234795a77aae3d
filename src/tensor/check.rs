//! The derivative check: an analytic Jacobian against central differences in f64, for every component that
//! has derivatives.

use ndarray::{Array2, Array3};

/// Largest error of `jacobian` against fourth-order central differences of `function` at `point`.
///
/// Column by column (star `i`, parameter `j`) the error is max_w |J − ΔJ| / max(max_w |ΔJ|, `floor`). The
/// step is `relative_step · max(1, |x|)`; 1e-3 suits smooth functions of order-one coordinates in f64
/// (truncation h⁴ ~ 1e-12).
///
/// # Shapes
/// `point [N, P]`, `function: [N, P] → [N, W]`, `jacobian [N, P, W]`.
pub fn jacobian_error(
    function: impl Fn(&Array2<f64>) -> Array2<f64>,
    point: &Array2<f64>,
    jacobian: &Array3<f64>,
    relative_step: f64,
    floor: f64,
) -> f64 {
    let (n_stars, n_parameters) = point.dim();
    let mut worst: f64 = 0.0;
    for j in 0..n_parameters {
        let steps: Vec<f64> = (0..n_stars).map(|i| relative_step * point[[i, j]].abs().max(1.0)).collect();
        let shifted = |factor: f64| {
            let mut moved = point.clone();
            moved.column_mut(j).iter_mut().zip(&steps).for_each(|(x, h)| *x += factor * h);
            function(&moved)
        };
        let (far_left, left, right, far_right) = (shifted(-2.0), shifted(-1.0), shifted(1.0), shifted(2.0));
        for i in 0..n_stars {
            let difference =
                |w: usize| (8.0 * (right[[i, w]] - left[[i, w]]) - (far_right[[i, w]] - far_left[[i, w]])) / (12.0 * steps[i]);
            let scale = (0..right.ncols()).map(|w| difference(w).abs()).fold(floor, f64::max);
            for w in 0..right.ncols() {
                worst = worst.max((jacobian[[i, j, w]] - difference(w)).abs() / scale);
            }
        }
    }
    worst
}
