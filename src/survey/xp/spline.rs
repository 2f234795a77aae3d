//! Evaluation of B-splines.

/// A cubic spline in the B-spline basis, as SciPy's `splrep` returns it.
#[derive(Debug)]
pub(super) struct CubicSpline {
    knots: Vec<f64>,
    coefficients: Vec<f64>,
}

impl CubicSpline {
    /// A spline from `n + 4` knots and `n ≥ 4` coefficients; `None` when the lengths do not fit or the knots
    /// are none of a spline.
    pub(super) fn new(knots: Vec<f64>, coefficients: Vec<f64>) -> Option<Self> {
        (knots.len() == coefficients.len() + 4 && are_knots(&knots, 4)).then_some(Self { knots, coefficients })
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

/// The B-splines of an order (degree + 1) on given knots.
#[derive(Debug)]
pub(super) struct SplineFunctions {
    knots: Vec<f64>,
    order: usize,
}

impl SplineFunctions {
    /// All splines of that order on the knots; `None` when there is none, or the knots decrease.
    pub(super) fn new(knots: Vec<f64>, order: usize) -> Option<Self> {
        are_knots(&knots, order).then_some(Self { knots, order })
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.knots.len() - self.order
    }

    /// All of them at `x` `[n]`, by the recursion of Cox and de Boor; outside the knots the outermost
    /// polynomials are continued, as SciPy's `BSpline` does.
    pub(super) fn values(&self, x: f64) -> Vec<f64> {
        let (n, order, knots) = (self.len(), self.order, &self.knots);
        // The last knot of the interval's left end.
        let left = knots[..n].partition_point(|&knot| knot <= x).clamp(order, n) - 1;
        let mut values = vec![0.0; n];
        // The `order` splines that are not zero there.
        let local = &mut values[left + 1 - order..=left];
        local[0] = 1.0;
        for level in 1..order {
            let mut carried = 0.0;
            for j in 0..level {
                let (low, high) = (knots[left + 1 + j - level], knots[left + 1 + j]);
                let share = local[j] / (high - low);
                local[j] = carried + (high - x) * share;
                carried = (x - low) * share;
            }
            local[level] = carried;
        }
        values
    }
}

/// Whether these are knots of splines of an order: finite, never decreasing, with intervals at both ends of
/// the splines' range that are not empty (so that no recursion divides by zero).
fn are_knots(knots: &[f64], order: usize) -> bool {
    let Some(n) = knots.len().checked_sub(order).filter(|&n| order > 0 && n >= order) else { return false };
    let increasing = knots.windows(2).all(|pair| pair[0] <= pair[1]);
    increasing && knots.iter().all(|knot| knot.is_finite()) && knots[order - 1] < knots[order] && knots[n - 1] < knots[n]
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

    /// The sum of B-splines times coefficients is the spline, beyond the knots too; and they add up to one.
    #[test]
    fn functions_add_up_to_the_spline() {
        let knots = vec![0.0, 0.0, 0.0, 0.0, 2.0, 3.0, 3.0, 8.0, 8.0, 8.0, 8.0];
        let coefficients = vec![1.0, 5.75, -1.0, 12.5, -4.4, 0.3, 2.0];
        let functions = SplineFunctions::new(knots.clone(), 4).unwrap();
        let spline = CubicSpline::new(knots, coefficients.clone()).unwrap();
        for x in [-1.0, 0.0, 0.5, 2.0, 2.9, 3.0, 4.0, 8.0, 9.0] {
            let values = functions.values(x);
            let sum: f64 = values.iter().zip(&coefficients).map(|(value, coefficient)| value * coefficient).sum();
            assert!((sum - spline.value(x)).abs() < 1e-10 * sum.abs().max(1.0), "{x}: {sum}");
            assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn impossible_knots_are_none() {
        for (knots, order) in [
            (vec![], 4),
            (vec![0.0; 8], 4),
            (vec![0.0, 1.0, 0.5, 2.0], 1),
            (vec![0.0, 0.0, 1.0], 2),
            (vec![0.0, f64::NAN, 2.0, 3.0], 1),
            (vec![0.0, 1.0], 0),
        ] {
            assert!(SplineFunctions::new(knots.clone(), order).is_none(), "{knots:?}");
        }
    }
}
