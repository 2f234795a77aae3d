//! Some problems of a larger batch.

use super::{Barrier, Evaluator, Normal, NormalEquations, Point, Problems, Proposal, StopRule};
use crate::error::Result;
use ndarray::{Array2, Array3, ArrayView2};

/// The named problems of a batch, numbered from zero.
pub struct Subset<'a> {
    problem: &'a dyn Problems,
    members: &'a [usize],
    rule: Option<&'a dyn StopRule>,
}

impl<'a> Subset<'a> {
    /// The problems `members` of `problem`, in that order.
    pub fn new(problem: &'a dyn Problems, members: &'a [usize]) -> Self {
        Self { problem, members, rule: None }
    }

    /// The same with a rule, by these numbers, in the place of that of the batch.
    pub fn stopping_by(self, rule: &'a dyn StopRule) -> Self {
        Self { rule: Some(rule), ..self }
    }

    fn outer(&self, problems: &[usize]) -> Vec<usize> {
        problems.iter().map(|&index| self.members[index]).collect()
    }
}

impl NormalEquations for Subset<'_> {
    fn n_problems(&self) -> usize {
        self.members.len()
    }

    fn n_parameters(&self) -> usize {
        self.problem.n_parameters()
    }

    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal> {
        self.problem.normal_equations(&self.outer(problems), coordinates)
    }

    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        self.problem.loss(&self.outer(problems), coordinates)
    }
}

impl Problems for Subset<'_> {
    fn gradient(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<(Vec<f64>, Array2<f64>)> {
        self.problem.gradient(&self.outer(problems), coordinates)
    }

    fn hessian(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Array3<f64>> {
        self.problem.hessian(&self.outer(problems), coordinates)
    }

    fn evaluator(&self) -> Option<Box<dyn Evaluator + '_>> {
        let inner = self.problem.evaluator()?;
        Some(Box::new(SubsetEvaluator { inner, members: self.members }))
    }

    fn barriers(&self) -> Vec<Barrier> {
        self.problem.barriers()
    }

    fn may_stop(&self, problem: usize, proposal: &Proposal<'_>) -> bool {
        match self.rule {
            Some(rule) => rule.may_stop(problem, proposal),
            None => self.problem.may_stop(self.members[problem], proposal),
        }
    }
}

struct SubsetEvaluator<'a> {
    inner: Box<dyn Evaluator + 'a>,
    members: &'a [usize],
}

impl Evaluator for SubsetEvaluator<'_> {
    fn evaluate(&mut self, problem: usize, point: &mut Point) {
        self.inner.evaluate(self.members[problem], point);
    }
}
