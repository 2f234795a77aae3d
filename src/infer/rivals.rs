//! Second searches: the other starts of a star, stopped as soon as they lead to the optimum that its first start has found.

use super::engine::minimise;
use super::options::FitOptions;
use crate::error::{Error, Result};
use crate::optimise::{Bounds, Normal, NormalEquations, Solution, Status, Subset};
use crate::posterior::Posterior;
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

/// A point belongs to a known optimum where its −2 ln P lies above that of the optimum by no more than this, …
const BASIN: f64 = 30.0;
/// … and by what the curvature there predicts, within this fraction of it.
const PARABOLIC: f64 = 0.2;
/// Difference of −2 ln P that means nothing.
pub(super) const EQUAL_LOSS: f64 = 0.01;

/// All searches of a set of stars: the first one of each, and those from its other starts.
pub(super) struct Searches {
    first: Solution,
    others: Solution,
    /// The others of star `i` are `others_of[i]..others_of[i + 1]`.
    others_of: Vec<usize>,
}

/// One search of a star.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    solution: &'a Solution,
    row: usize,
}

impl Search<'_> {
    /// Free coordinates `[F]`.
    pub fn coordinate(&self, p: usize) -> f64 {
        self.solution.coordinates[[self.row, p]]
    }

    pub fn loss(&self) -> f64 {
        self.solution.loss[self.row]
    }

    pub fn status(&self) -> Status {
        self.solution.status[self.row]
    }

    pub fn n_iterations(&self) -> u32 {
        self.solution.n_iterations[self.row]
    }

    pub fn has_converged(&self) -> bool {
        matches!(self.status(), Status::Converged | Status::AtBound)
    }
}

impl Searches {
    /// Searches from every start of the named `stars`; `starts` are their starts `[n, P]`, best first and at least one.
    pub fn run(
        posterior: &Posterior<'_>,
        stars: &[usize],
        starts: &[Array2<f64>],
        bounds: &Bounds,
        options: &FitOptions,
    ) -> Result<Self> {
        let (mut best, mut rest) = (Array2::zeros((0, posterior.n_parameters())), Array2::zeros((0, posterior.n_parameters())));
        let shape = |error: ndarray::ShapeError| Error::numerical("starting points").source(error);
        for start in starts {
            let free = posterior.free_coordinates(start.view());
            best.append(Axis(0), free.slice(s![..1, ..])).map_err(shape)?;
            rest.append(Axis(0), free.slice(s![1.., ..])).map_err(shape)?;
        }
        let first = minimise(posterior, &Subset::new(posterior, stars), stars, best, bounds, options)?;
        let mut others_of = vec![0];
        let mut owner = Vec::new();
        for (index, start) in starts.iter().enumerate() {
            owner.extend(std::iter::repeat_n(index, start.nrows() - 1));
            others_of.push(owner.len());
        }
        let owner_stars: Vec<usize> = owner.iter().map(|&index| stars[index]).collect();
        let curvature = curvatures(posterior, stars, &first, &owner, posterior.batch(options.chunk))?;
        let rivals = Rivals { stars: Subset::new(posterior, &owner_stars), owner: &owner, first: &first, curvature };
        let others = minimise(posterior, &rivals, &owner_stars, rest, bounds, options)?;
        Ok(Self { first, others, others_of })
    }

    /// Evaluations of the normal equations of a star, over all stars.
    pub fn n_evaluations(&self) -> u64 {
        let steps = self.first.n_iterations.iter().chain(&self.others.n_iterations);
        steps.map(|&steps| u64::from(steps) + 1).sum()
    }

    /// The searches of star `index` that ended at an optimum of their own.
    pub fn of(&self, index: usize) -> impl Iterator<Item = Search<'_>> {
        let others = self.others_of[index]..self.others_of[index + 1];
        let others = others.map(|row| Search { solution: &self.others, row });
        std::iter::once(Search { solution: &self.first, row: index })
            .chain(others)
            .filter(|search| search.status() != Status::Known)
    }

    /// The search with the smallest finite loss; a converged one wins over one that is not where their losses mean the same.
    pub fn best(&self, index: usize) -> Search<'_> {
        let loss = |search: &Search<'_>| {
            let handicap = if search.has_converged() { 0.0 } else { EQUAL_LOSS };
            if search.loss().is_finite() { search.loss() + handicap } else { f64::INFINITY }
        };
        let first = Search { solution: &self.first, row: index };
        self.of(index).min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap_or(first)
    }
}

/// Curvature at the first optima of those of the `stars` that own other searches.
fn curvatures(
    posterior: &Posterior<'_>,
    stars: &[usize],
    first: &Solution,
    owner: &[usize],
    chunk: usize,
) -> Result<Vec<Option<Vec<f64>>>> {
    let mut with_rivals = owner.to_vec();
    with_rivals.dedup();
    let parts = with_rivals
        .par_chunks(chunk)
        .map(|indices| {
            let members: Vec<usize> = indices.iter().map(|&index| stars[index]).collect();
            let coordinates = first.coordinates.select(Axis(0), indices);
            Ok(posterior.normal_equations(&members, coordinates.view())?.curvature)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut curvature = vec![None; stars.len()];
    let all = parts.iter().flat_map(|part| part.axis_iter(Axis(0)));
    for (&index, matrix) in with_rivals.iter().zip(all) {
        curvature[index] = Some(matrix.iter().copied().collect());
    }
    Ok(curvature)
}

/// Problems of stars whose first optimum is known.
struct Rivals<'a> {
    stars: Subset<'a>,
    /// Row of the first search of every problem's star.
    owner: &'a [usize],
    first: &'a Solution,
    /// Curvature at the known optima that have rivals.
    curvature: Vec<Option<Vec<f64>>>,
}

impl NormalEquations for Rivals<'_> {
    fn n_problems(&self) -> usize {
        self.stars.n_problems()
    }

    fn n_parameters(&self) -> usize {
        self.stars.n_parameters()
    }

    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal> {
        self.stars.normal_equations(problems, coordinates)
    }

    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        self.stars.loss(problems, coordinates)
    }

    /// Where the loss above the known optimum is that of its parabola.
    fn is_known(&self, problem: usize, coordinates: &[f64], loss: f64) -> bool {
        let index = self.owner[problem];
        let Some(curvature) = &self.curvature[index] else { return false };
        let above = loss - self.first.loss[index];
        if !(-EQUAL_LOSS..BASIN).contains(&above) {
            return false;
        }
        let n = coordinates.len();
        let away = |p: usize| coordinates[p] - self.first.coordinates[[index, p]];
        let parabola: f64 = (0..n).map(|p| 0.5 * away(p) * (0..n).map(|q| curvature[p * n + q] * away(q)).sum::<f64>()).sum();
        (above - parabola).abs() <= PARABOLIC * parabola + EQUAL_LOSS
    }
}
