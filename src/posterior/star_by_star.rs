//! The normal equations of one star after the other, by the standard engine, without allocation.

use super::Posterior;
use super::host::{HostWork, Sums};
use super::standard::{Products, StarEngine};
use crate::optimise::{Evaluator, Point};
use crate::tensor::Order;

/// The posterior with working memory for one star.
pub(super) struct StarByStar<'a> {
    posterior: &'a Posterior<'a>,
    engine: StarEngine<'a>,
    host: HostWork,
    /// All coordinates of a star.
    coordinates: Vec<f64>,
}

impl<'a> StarByStar<'a> {
    /// `None` where tensors compute the flux.
    pub fn new(posterior: &'a Posterior<'a>) -> Option<Self> {
        let engine = posterior.standard.as_ref()?.star_engine(posterior.observations, &posterior.free);
        let host = posterior.host.work(&posterior.free);
        Some(Self { posterior, engine, host, coordinates: vec![0.0; posterior.fixed.ncols()] })
    }
}

impl Evaluator for StarByStar<'_> {
    fn evaluate(&mut self, star: usize, point: &mut Point) {
        let Self { posterior, engine, host, coordinates } = self;
        coordinates.iter_mut().zip(posterior.fixed.row(star)).for_each(|(to, from)| *to = *from);
        for (&position, &coordinate) in posterior.free.iter().zip(&point.coordinates) {
            coordinates[position] = coordinate;
        }
        let Point { loss, gradient, curvature, .. } = point;
        engine.evaluate(star, coordinates, Order::First, Products { loss, gradient, curvature, residual_curvature: &mut [] });
        posterior.host.add(star, coordinates, false, host, Sums { loss, gradient, curvature });
    }
}
