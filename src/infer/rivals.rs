//! Known optima of stars, and searches that stop as soon as they lead to one.

use super::second_optimum::Separations;
use crate::error::Result;
use crate::optimise::{Barrier, Evaluator, Normal, NormalEquations, Proposal, Solution, Status, Subset, evaluate_in_chunks};
use crate::posterior::Posterior;
use ndarray::{Array2, Array3, ArrayView1, ArrayView2, Axis};
use std::borrow::Cow;

/// A point belongs to a known optimum where its −2 ln P lies above that of the optimum by no more than this, …
const BASIN: f64 = 30.0;
/// … and by what the curvature there predicts, within this fraction of it.
const PARABOLIC: f64 = 0.25;
/// How well a prediction of an optimum's −2 ln P must agree with that of a known one, besides [`PARABOLIC`].
const PREDICTED: f64 = 0.1;
/// A search far from the known optimum leads there only if its next step promises this fraction of what it is above it: near another optimum a step promises
/// nothing, and the loss may be what the known one's parabola says by chance.
const ON_THE_WAY: f64 = 0.2;
/// Difference of −2 ln P that means nothing.
pub(super) const EQUAL_LOSS: f64 = 0.01;

/// The optimum of every star that is known, with its local model: a parabola, but for an amount of dust moved as a logarithm.
pub(super) struct Known<'a> {
    first: &'a Solution,
    /// The gradient, which vanishes but for coordinates on a bound.
    gradient: Cow<'a, Array2<f64>>,
    curvature: Cow<'a, Array3<f64>>,
    barriers: Vec<Barrier>,
    separations: &'a Separations,
}

impl<'a> Known<'a> {
    /// Row `i` of `first` is the optimum of star `stars[i]` of the posterior.
    ///
    /// # Errors
    /// What the evaluation of curvatures returns, which a method did not leave behind.
    pub fn new(
        posterior: &Posterior<'_>,
        stars: &[usize],
        first: &'a Solution,
        separations: &'a Separations,
        chunk: usize,
    ) -> Result<Self> {
        let (gradient, curvature) = match first.curvature.len_of(Axis(0)) == stars.len() {
            true => (Cow::Borrowed(&first.gradient), Cow::Borrowed(&first.curvature)),
            false => {
                let normal = evaluate_in_chunks(&Subset::new(posterior, stars), &first.coordinates, chunk)?;
                (Cow::Owned(normal.gradient), Cow::Owned(normal.curvature))
            }
        };
        Ok(Self { first, gradient, curvature, barriers: posterior.barriers(), separations })
    }

    /// −2 ln P of a star's known optimum.
    pub fn loss(&self, index: usize) -> f64 {
        self.first.loss[index]
    }

    /// Whether a point would be another star than the known optimum.
    pub fn is_apart(&self, index: usize, coordinates: ArrayView1<'_, f64>) -> bool {
        self.separations.are_apart(self.first.coordinates.row(index), coordinates)
    }

    /// Most by which −2 ln P of a second optimum is above the known one.
    pub fn window(&self) -> f64 {
        self.separations.window
    }

    /// Whether the loss at a point is what the local model of the known optimum says, so that a search from there leads to it.
    pub fn leads_there(&self, index: usize, coordinates: ArrayView1<'_, f64>, loss: f64) -> bool {
        let above = loss - self.first.loss[index];
        (-EQUAL_LOSS..BASIN).contains(&above) && self.agrees(index, coordinates, above, EQUAL_LOSS)
    }

    /// The same of an optimum, or the end of a step, that the local model elsewhere predicts.
    pub fn is_predicted(&self, index: usize, coordinates: ArrayView1<'_, f64>, loss: f64) -> bool {
        let above = loss - self.first.loss[index];
        above < BASIN && self.agrees(index, coordinates, above, PREDICTED)
    }

    fn agrees(&self, index: usize, coordinates: ArrayView1<'_, f64>, above: f64, tolerance: f64) -> bool {
        let optimum = self.first.coordinates.row(index);
        let change = |p: usize| coordinates[p] - optimum[p];
        let away = |p: usize| match self.barriers.iter().find(|barrier| barrier.position == p) {
            Some(barrier) => barrier.displacement(change(p)),
            None => change(p),
        };
        let away: Vec<f64> = (0..coordinates.len()).map(away).collect();
        let curvature = self.curvature.index_axis(Axis(0), index);
        let pull = |row: ArrayView1<'_, f64>| row.iter().enumerate().map(|(q, element)| element * away[q]).sum::<f64>();
        let parabola: f64 = curvature.rows().into_iter().enumerate().map(|(p, row)| 0.5 * away[p] * pull(row)).sum();
        // At an optimum the gradient is rounding noise, but where a bound holds a coordinate back from going on downhill.
        let slope: f64 = match self.first.status[index] {
            Status::AtBound => self.gradient.row(index).iter().enumerate().map(|(p, element)| element * away[p]).sum(),
            _ => 0.0,
        };
        let walls = self.barriers.iter().map(|barrier| barrier.above_parabola(away[barrier.position], change(barrier.position)));
        let expected = slope + parabola + walls.sum::<f64>();
        expected.is_finite() && (above - expected).abs() <= PARABOLIC * expected + tolerance
    }
}

/// Problems of stars with a known optimum; problem `i` belongs to row `owner[i]` of the known optima.
pub(super) struct Rivals<'a> {
    pub problem: Subset<'a>,
    pub owner: &'a [usize],
    pub known: &'a Known<'a>,
}

impl NormalEquations for Rivals<'_> {
    fn n_problems(&self) -> usize {
        self.problem.n_problems()
    }

    fn n_parameters(&self) -> usize {
        self.problem.n_parameters()
    }

    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal> {
        self.problem.normal_equations(problems, coordinates)
    }

    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        self.problem.loss(problems, coordinates)
    }

    fn gradient(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<(Vec<f64>, Array2<f64>)> {
        self.problem.gradient(problems, coordinates)
    }

    fn hessian(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Array3<f64>> {
        self.problem.hessian(problems, coordinates)
    }

    fn evaluator(&self) -> Option<Box<dyn Evaluator + '_>> {
        self.problem.evaluator()
    }

    fn barriers(&self) -> Vec<Barrier> {
        self.problem.barriers()
    }

    fn is_known(&self, problem: usize, proposal: &Proposal<'_>) -> bool {
        let (owner, known) = (self.owner[problem], self.known);
        let at = ArrayView1::from(proposal.coordinates);
        let agrees = known.leads_there(owner, at, proposal.loss)
            || known.is_predicted(owner, ArrayView1::from(proposal.trial), proposal.predicted_loss);
        let promised = proposal.loss - proposal.predicted_loss;
        agrees && (promised >= ON_THE_WAY * (proposal.loss - known.loss(owner)) || !known.is_apart(owner, at))
    }
}
