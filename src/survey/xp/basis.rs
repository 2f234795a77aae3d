//! Basis functions of continuous spectra in pseudo-wavelength.

use super::spline::SplineFunctions;
use ndarray::Array2;

/// What basis functions are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasisKind {
    /// Combinations of Hermite functions, ordered by importance: their leading ones may be used alone.
    Hermite,
    /// B-splines (or combinations of them): none can be left out.
    BSpline,
}

impl BasisKind {
    /// As instrument files name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hermite => "hermite",
            Self::BSpline => "b-spline",
        }
    }
}

/// A set of basis functions.
#[derive(Debug)]
pub(super) struct Basis {
    functions: Functions,
    /// `[n_bases, n_functions]`; `None`: the functions themselves.
    combination: Option<Array2<f64>>,
}

#[derive(Debug)]
pub(super) enum Functions {
    /// The first `n` Hermite functions of `scale` · pseudo-wavelength + `offset`.
    Hermite {
        scale: f64,
        offset: f64,
        n: usize,
    },
    Splines(SplineFunctions),
}

impl Basis {
    /// A basis; `None` when the combination is not one of these functions, or there is no basis function.
    pub(super) fn new(functions: Functions, combination: Option<Array2<f64>>) -> Option<Self> {
        let fits = match &combination {
            Some(combination) => combination.ncols() == functions.len() && combination.nrows() > 0,
            None => functions.len() > 0,
        };
        fits.then_some(Self { functions, combination })
    }

    /// Number of basis functions.
    pub(super) fn len(&self) -> usize {
        self.combination.as_ref().map_or(self.functions.len(), Array2::nrows)
    }

    pub(super) fn kind(&self) -> BasisKind {
        match self.functions {
            Functions::Hermite { .. } => BasisKind::Hermite,
            Functions::Splines(_) => BasisKind::BSpline,
        }
    }

    /// The leading `n_bases` functions at positions that have a factor, times that factor: `[positions,
    /// n_bases]`; zero elsewhere.
    pub(super) fn design(&self, positions: &[Option<(f64, f64)>], n_bases: usize) -> Array2<f64> {
        let mut values = Array2::zeros((positions.len(), self.functions.len()));
        for (mut row, position) in values.rows_mut().into_iter().zip(positions) {
            if let Some((position, factor)) = *position {
                let functions = self.functions.values(position);
                row.iter_mut().zip(functions).for_each(|(to, value)| *to = factor * value);
            }
        }
        match &self.combination {
            Some(combination) => values.dot(&combination.slice(ndarray::s![..n_bases, ..]).t()),
            None => values.slice_move(ndarray::s![.., ..n_bases]),
        }
    }
}

impl Functions {
    fn len(&self) -> usize {
        match self {
            Self::Hermite { n, .. } => *n,
            Self::Splines(splines) => splines.len(),
        }
    }

    /// All functions at a pseudo-wavelength.
    fn values(&self, position: f64) -> Vec<f64> {
        match self {
            Self::Hermite { scale, offset, n } => hermite_functions(scale * position + offset, *n),
            Self::Splines(splines) => splines.values(position),
        }
    }
}

/// The first `n` orthonormal Hermite functions at `x`, by their three-term recurrence.
fn hermite_functions(x: f64, n: usize) -> Vec<f64> {
    let mut functions = Vec::with_capacity(n);
    let (mut previous, mut current) = (0.0, std::f64::consts::PI.powf(-0.25) * (-0.5 * x * x).exp());
    for order in 1..=n {
        functions.push(current);
        let order = order as f64;
        (previous, current) = (current, (2.0 / order).sqrt() * x * current - ((order - 1.0) / order).sqrt() * previous);
    }
    functions
}
