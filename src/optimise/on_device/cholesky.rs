//! Symmetric positive-definite systems of many problems at once: an unrolled Cholesky factorisation whose
//! every operation works on all problems.

use crate::tensor::{Mask, Tensor};

/// Solutions x of A x = b.
pub(super) struct Solved {
    /// `[n, P, R]`; meaningless where the matrix is not positive-definite.
    pub solution: Tensor<3>,
    /// Whether the matrix of a problem is numerically positive-definite, `[n]`.
    pub positive_definite: Mask<1>,
}

/// Solves A X = B for every problem, `matrix [n, P, P]` and `right [n, P, R]`, through A = L Lᵀ.
///
/// `rounding` is the relative rounding error of the numbers: a pivot below that fraction of its diagonal
/// element is lost in it. Eliminating in the matrix with the right-hand sides beside it, [A | B], leaves the
/// rows of [Lᵀ | L⁻¹B].
pub(super) fn solve(matrix: &Tensor<3>, right: &Tensor<3>, rounding: f64) -> Solved {
    let [n, p, r] = right.dims();
    let mut rest = Tensor::cat(vec![matrix.clone(), right.clone()], 2);
    // False for NaN too.
    let mut positive_definite = right.clone().reshape([n, p * r]).abs().sum_dim(1).reshape([n]).lower_elem(f32::MAX);
    let mut rows = Vec::with_capacity(p);
    for j in 0..p {
        // `rest` is [n, m, m + R], what is left of both.
        let m = p - j;
        let pivot: Tensor<1> = rest.clone().slice([0..n, 0..1, 0..1]).reshape([n]);
        let diagonal: Tensor<1> = matrix.clone().slice([0..n, j..j + 1, j..j + 1]).reshape([n]);
        let good = pivot.clone().greater(diagonal.abs() * rounding);
        let root = pivot.clone().mask_fill(good.clone().bool_not(), 1.0).sqrt();
        positive_definite = positive_definite.bool_and(good);
        let row: Tensor<2> = rest.clone().slice([0..n, 0..1, 0..m + r]).reshape([n, m + r]) / root.reshape([n, 1]);
        if m > 1 {
            let beside = row.clone().slice([0..n, 1..m + r]);
            let below = row.clone().slice([0..n, 1..m]).reshape([n, m - 1, 1]);
            rest = rest.slice([0..n, 1..m, 1..m + r]) - below * beside.reshape([n, 1, m + r - 1]);
        }
        rows.push(row);
    }
    let mut solution: Option<Tensor<3>> = None;
    for row in rows.into_iter().rev() {
        let m = row.dims()[1] - r;
        let right: Tensor<2> = row.clone().slice([0..n, m..m + r]);
        let right = match &solution {
            Some(known) => {
                let coefficients = row.clone().slice([0..n, 1..m]).reshape([n, m - 1, 1]);
                right - (coefficients * known.clone()).sum_dim(1).reshape([n, r])
            }
            None => right,
        };
        let x = (right / row.slice([0..n, 0..1])).reshape([n, 1, r]);
        solution = Some(match solution {
            Some(known) => Tensor::cat(vec![x, known], 1),
            None => x,
        });
    }
    Solved { solution: solution.unwrap_or_else(|| right.clone()), positive_definite }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimise::dense::{cholesky_in_place, cholesky_solve_in_place};
    use crate::tensor::{Device, Precision, to_f64};

    #[test]
    fn solutions_are_those_of_the_host_for_any_order_and_indefinite_matrices_are_marked() {
        let device = Device::cpu().with_precision(Precision::Double);
        for p in [1, 2, 5, 20] {
            let root =
                |star: usize, i: usize, j: usize| ((star * 37 + i * 11 + j * 5) as f64).sin() + if i == j { 2.0 } else { 0.0 };
            let matrices: Vec<Vec<f64>> = (0..3)
                .map(|star| {
                    let product = |i: usize, j: usize| (0..p).map(|k| root(star, i, k) * root(star, j, k)).sum::<f64>();
                    let sign = if star == 2 { -1.0 } else { 1.0 };
                    (0..p * p).map(|index| sign * product(index / p, index % p)).collect()
                })
                .collect();
            let vector: Vec<f64> = (0..6 * p).map(|i| (i as f64).cos()).collect();
            let solved = solve(&device.tensor(&matrices.concat(), [3, p, p]), &device.tensor(&vector, [3, p, 2]), f64::EPSILON);
            let good: Vec<f64> = to_f64(solved.positive_definite.float());
            assert_eq!(good, [1.0, 1.0, 0.0]);
            let found = to_f64(solved.solution);
            for (star, side) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let column = |values: &[f64]| (0..p).map(|i| values[(star * p + i) * 2 + side]).collect::<Vec<f64>>();
                let (mut factor, mut expected) = (matrices[star].clone(), column(&vector));
                assert!(cholesky_in_place(&mut factor, p));
                cholesky_solve_in_place(&factor, p, &mut expected);
                let scale = expected.iter().fold(1.0_f64, |largest, x| largest.max(x.abs()));
                for (found, expected) in column(&found).iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-8 * scale, "{p}: {found} {expected}");
                }
            }
        }
    }
}
