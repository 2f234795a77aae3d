//! Known optima, and searches that stop as soon as they lead to one.

use super::{Barrier, Problems, Proposal, Solution, Status, StopRule, evaluate_in_chunks};
use crate::error::Result;
use ndarray::{Array2, Array3, ArrayView1, Axis};
use std::borrow::Cow;

/// A point belongs to a known optimum where its loss lies above that of the optimum by no more than this, …
const BASIN: f64 = 30.0;
/// … and by what the curvature there predicts, within this fraction of it.
const PARABOLIC: f64 = 0.25;
/// How well a prediction of an optimum's loss must agree with that of a known one, besides [`PARABOLIC`].
const PREDICTED: f64 = 0.1;
/// A search that is apart from the known optimum leads there only if its next step promises this fraction of
/// what it is above it: near another optimum a step promises nothing, and the loss may be what the known
/// one's parabola says by chance.
const ON_THE_WAY: f64 = 0.2;
/// Difference of losses (−2 ln P) that means nothing.
pub const EQUAL_LOSS: f64 = 0.01;

/// Whether two points `[P]` are different solutions, and not the same one found twice.
pub type AreApart<'a> = &'a (dyn Fn(ArrayView1<'_, f64>, ArrayView1<'_, f64>) -> bool + Sync);

/// The optimum of every problem that is known, with its local model: a parabola, but for positive quantities
/// moved as logarithms.
pub struct KnownOptima<'a> {
    optima: &'a Solution,
    /// The gradient, which vanishes but for coordinates on a bound.
    gradient: Cow<'a, Array2<f64>>,
    curvature: Cow<'a, Array3<f64>>,
    barriers: Vec<Barrier>,
    are_apart: AreApart<'a>,
}

impl<'a> KnownOptima<'a> {
    /// Row `i` of `optima` is the optimum of problem `i`.
    ///
    /// # Errors
    /// What the evaluation of curvatures returns, which a method did not leave behind; `chunk` problems at a
    /// time.
    pub fn new(problems: &dyn Problems, optima: &'a Solution, are_apart: AreApart<'a>, chunk: usize) -> Result<Self> {
        let (gradient, curvature) = match optima.curvature_of(0).is_some() || optima.loss.is_empty() {
            true => (Cow::Borrowed(&optima.gradient), Cow::Borrowed(&optima.curvature)),
            false => {
                let normal = evaluate_in_chunks(problems, &optima.coordinates, chunk)?;
                (Cow::Owned(normal.gradient), Cow::Owned(normal.curvature))
            }
        };
        Ok(Self { optima, gradient, curvature, barriers: problems.barriers(), are_apart })
    }

    /// The loss at a problem's known optimum.
    pub fn loss(&self, index: usize) -> f64 {
        self.optima.loss[index]
    }

    /// Whether a point would be another solution than the known optimum.
    pub fn is_apart(&self, index: usize, coordinates: ArrayView1<'_, f64>) -> bool {
        (self.are_apart)(self.optima.coordinates.row(index), coordinates)
    }

    /// Whether the loss at a point is what the local model of the known optimum says, so that a search from
    /// there leads to it.
    pub fn leads_there(&self, index: usize, coordinates: ArrayView1<'_, f64>, loss: f64) -> bool {
        let above = loss - self.optima.loss[index];
        (-EQUAL_LOSS..BASIN).contains(&above) && self.agrees(index, coordinates, above, EQUAL_LOSS)
    }

    /// The same of an optimum, or the end of a step, that the local model elsewhere predicts.
    pub fn is_predicted(&self, index: usize, coordinates: ArrayView1<'_, f64>, loss: f64) -> bool {
        let above = loss - self.optima.loss[index];
        above < BASIN && self.agrees(index, coordinates, above, PREDICTED)
    }

    fn agrees(&self, index: usize, coordinates: ArrayView1<'_, f64>, above: f64, tolerance: f64) -> bool {
        let optimum = self.optima.coordinates.row(index);
        let change = |p: usize| coordinates[p] - optimum[p];
        let away = |p: usize| match self.barriers.iter().find(|barrier| barrier.position == p) {
            Some(barrier) => barrier.displacement(change(p)),
            None => change(p),
        };
        let away: Vec<f64> = (0..coordinates.len()).map(away).collect();
        let curvature = self.curvature.index_axis(Axis(0), index);
        let pull = |row: ArrayView1<'_, f64>| row.iter().enumerate().map(|(q, element)| element * away[q]).sum::<f64>();
        let parabola: f64 = curvature.rows().into_iter().enumerate().map(|(p, row)| 0.5 * away[p] * pull(row)).sum();
        // At an optimum the gradient is rounding noise, but where a bound holds a coordinate back from going
        // on downhill.
        let slope: f64 = match self.optima.status[index] {
            Status::AtBound => self.gradient.row(index).iter().enumerate().map(|(p, element)| element * away[p]).sum(),
            _ => 0.0,
        };
        let walls = self.barriers.iter().map(|barrier| barrier.above_parabola(away[barrier.position], change(barrier.position)));
        let expected = slope + parabola + walls.sum::<f64>();
        expected.is_finite() && (above - expected).abs() <= PARABOLIC * expected + tolerance
    }
}

/// The stop rule of searches for other optima than the known ones: the search of problem `i` may stop on its
/// way to row `owner[i]` of these.
pub struct Rivals<'a> {
    pub owner: &'a [usize],
    pub known: &'a KnownOptima<'a>,
}

impl StopRule for Rivals<'_> {
    fn may_stop(&self, problem: usize, proposal: &Proposal<'_>) -> bool {
        let (owner, known) = (self.owner[problem], self.known);
        let at = ArrayView1::from(proposal.coordinates);
        let agrees = known.leads_there(owner, at, proposal.loss)
            || known.is_predicted(owner, ArrayView1::from(proposal.trial), proposal.predicted_loss);
        let promised = proposal.loss - proposal.predicted_loss;
        agrees && (promised >= ON_THE_WAY * (proposal.loss - known.loss(owner)) || !known.is_apart(owner, at))
    }
}
