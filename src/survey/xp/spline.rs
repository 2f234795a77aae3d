//! Evaluation of cubic B-splines.

/// A cubic spline in the B-spline basis, as SciPy's `splrep` returns it.
#[derive(Debug)]
pub(super) struct CubicSpline {
    knots: Vec<f64>,
    coefficients: Vec<f64>,
}

impl CubicSpline {
    /// A spline from `n + 4` knots and `n ≥ 4` coefficients; `None` when the lengths do not fit.
    pub(super) fn new(knots: Vec<f64>, coefficients: Vec<f64>) -> Option<Self> {
        (coefficients.len() >= 4 && knots.len() == coefficients.len() + 4).then_some(Self { knots, coefficients })
    }

    /// The value at `x` by de Boor's recursion; outside the knots the outermost polynomial is continued.
    pub(super) fn value(&self, x: f64) -> f64 {
        let n = self.coefficients.len();
        let first = self.knots[..n].partition_point(|&knot| knot <= x).clamp(4, n) - 4;
        let mut value: [f64; 4] = std::array::from_fn(|j| self.coefficients[first + j]);
        for level in 1..=3 {
            for j in (level..=3).rev() {
                let (left, right) = (self.knots[first + j], self.knots[first + j + 4 - level]);
                let fraction = (x - left) / (right - left);
                value[j] = (1.0 - fraction) * value[j - 1] + fraction * value[j];
            }
        }
        value[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17.1: `splrep([0, 1, 2, 3, 5, 8], [1, 3, 2, 5, 4, 0], s=0)`, values by `splev`.
    #[test]
    fn agrees_with_scipy() {
        let spline = CubicSpline::new(
            vec![0.0, 0.0, 0.0, 0.0, 2.0, 3.0, 8.0, 8.0, 8.0, 8.0],
            vec![1.0, 5.750164365548982, -1.0003287310979625, 12.501314924391847, -4.3902038132807375, 0.0],
        )
        .expect("lengths fit");
        for (x, expected) in [
            (0.0, 1.0),
            (0.5, 3.054733727810651),
            (2.5, 3.289201183431952),
            (4.0, 5.857988165680473),
            (7.9, -0.24155029585798746),
            (8.0, 0.0),
        ] {
            assert!((spline.value(x) - expected).abs() < 1e-13, "{x}");
        }
    }
}
