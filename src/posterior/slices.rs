//! −2 ln P of one star at many points, with derivatives along some of its free coordinates.

use super::Posterior;
use super::host::{HostWork, Sums};
use super::standard::{Products, StarEngine};
use crate::error::{Error, Result};
use crate::optimise::{Normal, NormalEquations};
use crate::tensor::Order;
use ndarray::{Array2, Array3, ArrayView2};

/// Evaluates points `[n, F]` of the free coordinates of a star.
pub struct Slices<'a> {
    posterior: &'a Posterior<'a>,
    /// Positions in the model of the coordinates along which derivatives are wanted, and the same among the
    /// free ones.
    moving: &'a [usize],
    columns: Vec<usize>,
    /// Of the standard engine.
    engine: Option<StarEngine<'a>>,
    host: HostWork,
    coordinates: Vec<f64>,
}

impl<'a> Slices<'a> {
    /// Along the coordinates at these positions in the model.
    ///
    /// # Errors
    /// When one of them is not free.
    pub fn new(posterior: &'a Posterior<'a>, moving: &'a [usize]) -> Result<Self> {
        let column = |position: &usize| {
            posterior.free.iter().position(|free| free == position).ok_or_else(|| {
                Error::numerical("slices of a posterior")
                    .found(format!("position {position}, which is held"))
                    .expected("free ones")
            })
        };
        let columns = moving.iter().map(column).collect::<Result<_>>()?;
        let engine = posterior.standard.as_ref().map(|engine| engine.star_engine(posterior.observations, moving));
        let host = posterior.host.work(moving);
        Ok(Self { posterior, moving, columns, engine, host, coordinates: vec![0.0; posterior.fixed.ncols()] })
    }

    /// The loss `[n]`, its gradient `[n, M]` and curvature `[n, M, M]` along the moving coordinates.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn normal_equations(&mut self, star: usize, points: ArrayView2<'_, f64>) -> Result<Normal> {
        self.evaluate(star, points, Order::First)
    }

    /// The loss alone `[n]`.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn loss(&mut self, star: usize, points: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        Ok(self.evaluate(star, points, Order::Value)?.loss)
    }

    fn evaluate(&mut self, star: usize, points: ArrayView2<'_, f64>, order: Order) -> Result<Normal> {
        let (n, m) = (points.nrows(), self.moving.len());
        let Self { posterior, columns, engine: Some(engine), host, coordinates, .. } = self else {
            return self.by_tensors(star, points, order);
        };
        coordinates.iter_mut().zip(posterior.fixed.row(star)).for_each(|(to, from)| *to = *from);
        let mut normal = Normal::zeros(n, m);
        let (mut gradient, mut curvature) = (vec![0.0; m], vec![0.0; m * m]);
        debug_assert_eq!(columns.len(), m);
        for (row, point) in points.rows().into_iter().enumerate() {
            for (&position, &coordinate) in posterior.free.iter().zip(point) {
                coordinates[position] = coordinate;
            }
            let loss = &mut normal.loss[row];
            if order == Order::Value {
                let products = Products { loss, gradient: &mut [], curvature: &mut [], residual_curvature: &mut [] };
                engine.evaluate(star, coordinates, order, products);
                *loss += posterior.host.loss(star, coordinates, host);
                continue;
            }
            let (g, c) = (&mut gradient[..], &mut curvature[..]);
            engine.evaluate(star, coordinates, order, Products { loss, gradient: g, curvature: c, residual_curvature: &mut [] });
            posterior.host.add(star, coordinates, false, host, Sums { loss, gradient: g, curvature: c });
            normal.gradient.row_mut(row).iter_mut().zip(&gradient).for_each(|(to, from)| *to = *from);
            let mut to = normal.curvature.index_axis_mut(ndarray::Axis(0), row);
            to.iter_mut().zip(&curvature).for_each(|(to, from)| *to = *from);
        }
        Ok(normal)
    }

    /// By the tensor engine, all points at once.
    fn by_tensors(&self, star: usize, points: ArrayView2<'_, f64>, order: Order) -> Result<Normal> {
        let (n, columns) = (points.nrows(), &self.columns);
        let m = columns.len();
        let stars = vec![star; n];
        if n == 0 {
            return Ok(Normal::zeros(0, m));
        }
        if order == Order::Value {
            return Ok(Normal { loss: self.posterior.loss(&stars, points)?, ..Normal::zeros(n, m) });
        }
        let all = self.posterior.normal_equations(&stars, points)?;
        Ok(Normal {
            gradient: Array2::from_shape_fn((n, m), |(i, a)| all.gradient[[i, columns[a]]]),
            curvature: Array3::from_shape_fn((n, m, m), |(i, a, b)| all.curvature[[i, columns[a], columns[b]]]),
            loss: all.loss,
        })
    }
}
