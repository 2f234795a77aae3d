//! The searches of a star: which of its starts leads to the best optimum, the search from there, and those
//! from its rivals.
//!
//! Every start is evaluated once; the minimum of the local model there predicts where a search would end and
//! how well. The start with the best prediction is searched from first. Another one follows only where it
//! promises an optimum of about that depth and is not on its way to the same one, or one that would be
//! another star and nearly as good.

use super::breadth::Breadth;
use super::engine::{is_on_device, minimise};
use super::options::FitOptions;
use super::second_optimum::Separations;
use crate::error::{Error, Result};
use crate::optimise::{
    Bounds, EQUAL_LOSS, Evaluated, KnownOptima, NormalEquations, Prediction, Problems, Rivals, Solution, Status, Subset,
};
use crate::posterior::Posterior;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

/// All searches of a set of stars: the first one of each, and those from its other starts.
pub(super) struct Searches {
    first: Solution,
    others: Solution,
    /// The others of star `i` are `others_of[i]..others_of[i + 1]`.
    others_of: Vec<usize>,
    /// Starts that were evaluated beforehand.
    n_evaluated: usize,
}

/// Optima of a star that are told apart, at most.
const MOST_MODES: usize = 4;

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

    /// The same.
    pub fn coordinates(&self) -> ArrayView1<'_, f64> {
        self.solution.coordinates.row(self.row)
    }

    /// Gauss–Newton curvature of −2 ln P there `[F, F]`, from methods that know it.
    pub fn curvature(&self) -> Option<ArrayView2<'_, f64>> {
        self.solution.curvature_of(self.row)
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
        self.status().is_optimum()
    }
}

/// The starts of all stars in one array.
struct Starts {
    /// Free coordinates `[R, F]`.
    coordinates: Array2<f64>,
    /// The starts of star `i` are the rows `rows_of[i]..rows_of[i + 1]`.
    rows_of: Vec<usize>,
    /// The star of the posterior to which a row belongs.
    stars: Vec<usize>,
}

impl Starts {
    fn new(posterior: &Posterior<'_>, stars: &[usize], starts: &[Array2<f64>]) -> Result<Self> {
        let mut flat = Vec::new();
        let (mut rows_of, mut star_of) = (vec![0], Vec::new());
        for (&star, start) in stars.iter().zip(starts) {
            start.rows().into_iter().for_each(|row| flat.extend(posterior.free().iter().map(|&position| row[position])));
            star_of.extend(std::iter::repeat_n(star, start.nrows()));
            rows_of.push(star_of.len());
        }
        let coordinates = Array2::from_shape_vec((star_of.len(), posterior.n_parameters()), flat)
            .map_err(|error| Error::numerical("starting points").source(error))?;
        Ok(Self { coordinates, rows_of, stars: star_of })
    }

    fn n_stars(&self) -> usize {
        self.rows_of.len() - 1
    }

    fn rows(&self, index: usize) -> std::ops::Range<usize> {
        self.rows_of[index]..self.rows_of[index + 1]
    }
}

impl Searches {
    /// Searches from the starts of the named `stars`; `starts` are the starts `[n, P]` of each, at least one,
    /// with how widely each is searched.
    ///
    /// # Errors
    /// What the engine returns.
    pub fn run(
        posterior: &Posterior<'_>,
        stars: &[usize],
        (starts, breadths): (&[Array2<f64>], &[Breadth]),
        (bounds, separations): (&Bounds, &Separations),
        options: &FitOptions,
    ) -> Result<Self> {
        let starts = Starts::new(posterior, stars, starts)?;
        if is_on_device(posterior, options) {
            return Self::run_on_device(posterior, stars, &starts, bounds, options);
        }
        let chunk = posterior.together(starts.stars.len(), options.chunk);
        let subset = Subset::new(posterior, &starts.stars);
        let evaluated = Evaluated::new(&subset, starts.coordinates.clone(), bounds, chunk)?;
        let prediction = evaluated.predict(bounds);
        let best_row = |index: usize| {
            let finite = starts.rows(index).filter(|&row| prediction.loss[row].is_finite());
            finite.min_by(|&a, &b| prediction.loss[a].total_cmp(&prediction.loss[b])).unwrap_or(starts.rows_of[index])
        };
        let first_rows: Vec<usize> = (0..starts.n_stars()).map(best_row).collect();
        let search = |problem: &dyn Problems, rows: &[usize]| {
            let members: Vec<usize> = rows.iter().map(|&row| starts.stars[row]).collect();
            minimise(posterior, problem, &members, evaluated.start().select(Axis(0), rows), bounds, options)
        };
        let first = search(&Subset::new(&evaluated, &first_rows), &first_rows)?;
        let are_apart = |a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>| separations.are_apart(a, b);
        let known = KnownOptima::new(&Subset::new(posterior, stars), &first, &are_apart, chunk)?;
        let window = separations.window;
        let (rival_rows, others_of) = rivals((&starts, breadths), &evaluated, &prediction, &first_rows, (&known, window));
        let owner: Vec<usize> =
            (0..starts.n_stars()).flat_map(|index| std::iter::repeat_n(index, others_of[index + 1] - others_of[index])).collect();
        let rule = Rivals { owner: &owner, known: &known };
        let others = search(&Subset::new(&evaluated, &rival_rows).stopping_by(&rule), &rival_rows)?;
        Ok(Self { n_evaluated: starts.stars.len(), first, others, others_of })
    }

    /// Searches from all starts, in the order of their scores: on an accelerator a search costs little, and a
    /// round on the host much.
    fn run_on_device(
        posterior: &Posterior<'_>,
        stars: &[usize],
        starts: &Starts,
        bounds: &Bounds,
        options: &FitOptions,
    ) -> Result<Self> {
        let search = |rows: &[usize]| {
            let members: Vec<usize> = rows.iter().map(|&row| starts.stars[row]).collect();
            let start = starts.coordinates.select(Axis(0), rows);
            minimise(posterior, &Subset::new(posterior, &members), &members, start, bounds, options)
        };
        let first_rows = &starts.rows_of[..stars.len()];
        let other_rows: Vec<usize> = (0..stars.len()).flat_map(|index| starts.rows(index).skip(1)).collect();
        let others_of = starts.rows_of.iter().enumerate().map(|(index, rows)| rows - index).collect();
        Ok(Self { first: search(first_rows)?, others: search(&other_rows)?, others_of, n_evaluated: 0 })
    }

    /// Evaluations of the normal equations of a star, over all stars.
    pub fn n_evaluations(&self) -> u64 {
        let steps = self.first.n_iterations.iter().chain(&self.others.n_iterations);
        steps.map(|&steps| u64::from(steps)).sum::<u64>() + self.n_evaluated as u64
    }

    /// The searches of star `index` that ended at an optimum of their own.
    pub fn of(&self, index: usize) -> impl Iterator<Item = Search<'_>> {
        let others = self.others_of[index]..self.others_of[index + 1];
        let others = others.map(|row| Search { solution: &self.others, row });
        std::iter::once(Search { solution: &self.first, row: index })
            .chain(others)
            .filter(|search| search.status() != Status::Known)
    }

    /// The search with the smallest finite loss; a converged one wins over one that is not where their losses
    /// mean the same.
    pub fn best(&self, index: usize) -> Search<'_> {
        let loss = |search: &Search<'_>| {
            let handicap = if search.has_converged() { 0.0 } else { EQUAL_LOSS };
            if search.loss().is_finite() { search.loss() + handicap } else { f64::INFINITY }
        };
        let first = Search { solution: &self.first, row: index };
        self.of(index).min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap_or(first)
    }

    /// The `best` search of a star, and the best converged ones that ended as other stars than it and than
    /// one another, nearly as well.
    pub fn modes<'a>(&'a self, index: usize, best: Search<'a>, separations: &Separations) -> Vec<Search<'a>> {
        let close = |search: &Search<'_>| search.has_converged() && search.loss() - best.loss() <= separations.window;
        let mut others: Vec<Search<'_>> = self.of(index).filter(close).collect();
        others.sort_by(|a, b| a.loss().total_cmp(&b.loss()));
        let mut modes = vec![best];
        for other in others {
            if modes.iter().all(|mode| separations.are_apart(other.coordinates(), mode.coordinates())) {
                modes.push(other);
            }
        }
        modes.truncate(MOST_MODES);
        modes
    }
}

/// Rows of the starts that promise another optimum, star after star, and where each star's begin.
fn rivals(
    (starts, breadths): (&Starts, &[Breadth]),
    evaluated: &Evaluated<'_>,
    prediction: &Prediction,
    first_rows: &[usize],
    (known, other_stars): (&KnownOptima<'_>, f64),
) -> (Vec<usize>, Vec<usize>) {
    let (mut rivals, mut rivals_of) = (Vec::new(), vec![0]);
    for (index, &first) in first_rows.iter().enumerate() {
        let of_star = breadths[index].rivals(known.loss(index));
        rivals.extend(starts.rows(index).filter(|&row| {
            let (predicted, loss) = (prediction.coordinates.row(row), prediction.loss[row]);
            let is_apart = known.is_apart(index, predicted);
            let window = if is_apart { of_star.max(other_stars) } else { of_star };
            let leads_there = || {
                known.is_predicted(index, predicted, loss)
                    || known.leads_there(index, evaluated.start().row(row), evaluated.loss()[row])
            };
            row != first && loss <= known.loss(index) + window && (is_apart || !leads_there())
        }));
        rivals_of.push(rivals.len());
    }
    (rivals, rivals_of)
}
