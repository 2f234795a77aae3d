//! Scores of offsets and their variances, star by star.

use super::Groups;
use ndarray::Array2;

/// d ln f per magnitude of an offset: data that are a magnitude too faint.
pub const MAGNITUDE: f64 = -0.4 * std::f64::consts::LN_10;

/// Part of its own variance that a datum must keep after the fit to have a pull.
const LEAST_VARIANCE: f64 = 0.01;

/// What flags say of a star.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// There is an estimate.
    pub is_fitted: bool,
    /// χ² is larger than expected, as the flag for it says.
    pub is_poor: bool,
    /// Outside of what the model was trained with.
    pub is_outside: bool,
    /// It passes the basic cut.
    pub is_in_cut: bool,
}

/// Residuals of N stars in G groups of fluxes and K measured parameters (the constraints of the fit), Q = G +
/// K.
///
/// # Shapes
/// `score [N, Q]` (1/mag for fluxes, 1/unit for constraints), `information [N, Q(Q+1)/2]` (lower triangles,
/// row by row, of Dᵀ(1 − H)D), `left [N, G]` (the mean residual of a group, mag; positive where the data are
/// fainter than the model), `precision [N, K]`, `chi_square [N]`, `degrees [N]`, `marks [N]`. A star that
/// takes no part has NaN in its scores.
#[derive(Debug, Clone)]
pub struct Responses {
    /// Names of the groups `[G]`.
    pub groups: Vec<String>,
    /// Names of the constraints `[K]`.
    pub constraints: Vec<String>,
    pub score: Array2<f64>,
    pub information: Array2<f64>,
    pub left: Array2<f64>,
    /// 1/σ² of the measured constraints; zero where there is none.
    pub precision: Array2<f64>,
    pub chi_square: Vec<f64>,
    pub degrees: Vec<f64>,
    pub marks: Vec<Mark>,
}

/// Products of what is whitened of a star: data less model r, directions D of offsets, slopes J of the F
/// parameters that move.
#[derive(Debug, Clone)]
pub struct Products {
    /// Dᵀ r `[Q]`.
    pub score: Vec<f64>,
    /// Dᵀ D, the lower triangle `[Q(Q+1)/2]`.
    pub plain: Vec<f64>,
    /// Dᵀ J `[Q][F]`.
    pub crossed: Vec<f64>,
}

impl Products {
    /// Of Q offsets and F parameters that no datum sees.
    pub fn zeros(q: usize, f: usize) -> Self {
        Self { score: vec![0.0; q], plain: vec![0.0; q * (q + 1) / 2], crossed: vec![0.0; q * f] }
    }

    /// All become zero.
    pub fn clear(&mut self) {
        [&mut self.score, &mut self.plain, &mut self.crossed].into_iter().for_each(|products| products.fill(0.0));
    }

    /// The scores after a step `[F]` of the parameters.
    pub fn move_along(&mut self, step: &[f64]) {
        for (score, crossed) in self.score.iter_mut().zip(self.crossed.chunks_exact(step.len().max(1))) {
            *score -= crossed.iter().zip(step).map(|(crossed, step)| crossed * step).sum::<f64>();
        }
    }
}

impl Responses {
    /// No star takes part yet.
    pub fn none(n: usize, groups: &Groups, constraints: &[String]) -> Self {
        let (g, q) = (groups.len(), groups.len() + constraints.len());
        Self {
            groups: groups.names.clone(),
            constraints: constraints.to_vec(),
            score: Array2::from_elem((n, q), f64::NAN),
            information: Array2::zeros((n, q * (q + 1) / 2)),
            left: Array2::from_elem((n, g), f64::NAN),
            precision: Array2::zeros((n, q - g)),
            chi_square: vec![f64::NAN; n],
            degrees: vec![f64::NAN; n],
            marks: vec![Mark::default(); n],
        }
    }

    /// Number of stars N.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The star takes part, with these products; `covariance` is A⁻¹ `[F, F]`.
    pub fn put(&mut self, star: usize, products: &Products, covariance: &[f64]) {
        let Products { score, plain, crossed } = products;
        let (q, f) = (score.len(), crossed.len() / score.len().max(1));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        // A⁻¹ Jᵀ D.
        let taken: Vec<f64> = (0..q * f)
            .map(|at| dot(&covariance[(at % f) * f..(at % f + 1) * f], &crossed[at / f * f..(at / f + 1) * f]))
            .collect();
        for a in 0..q {
            self.score[[star, a]] = score[a];
            let own = plain[packed(a, a)];
            match a.checked_sub(self.left.ncols()) {
                None if own > 0.0 => self.left[[star, a]] = score[a] / own,
                None => {}
                Some(constraint) => self.precision[[star, constraint]] = own,
            }
            for b in 0..=a {
                let by_fit = dot(&crossed[a * f..(a + 1) * f], &taken[b * f..(b + 1) * f]);
                let kept = plain[packed(a, b)] - by_fit;
                // Rounding may leave less than nothing of data that the fit follows.
                self.information[[star, packed(a, b)]] = if a == b { kept.max(0.0) } else { kept };
            }
        }
    }

    /// Row `i` of others becomes that of a star.
    pub fn put_row(&mut self, star: usize, others: &Self, i: usize) {
        for (to, from) in [
            (&mut self.score, &others.score),
            (&mut self.information, &others.information),
            (&mut self.left, &others.left),
            (&mut self.precision, &others.precision),
        ] {
            to.row_mut(star).assign(&from.row(i));
        }
        (self.chi_square[star], self.degrees[star]) = (others.chi_square[i], others.degrees[i]);
        self.marks[star] = others.marks[i];
    }

    /// Residual of a constraint over its expected scatter; NaN where there is none, or the fit follows the
    /// measurement.
    pub fn pull(&self, star: usize, constraint: usize) -> f64 {
        let a = self.left.ncols() + constraint;
        let (kept, precision) = (self.information[[star, packed(a, a)]], self.precision[[star, constraint]]);
        if kept > LEAST_VARIANCE * precision { self.score[[star, a]] / kept.sqrt() } else { f64::NAN }
    }
}

/// Position of element (a, b), b ≤ a, of a lower triangle.
pub fn packed(a: usize, b: usize) -> usize {
    a * (a + 1) / 2 + b
}
