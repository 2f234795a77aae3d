//! −2 ln P of one star at many points, with derivatives along some of its free coordinates.

use super::Posterior;
use super::host::{HostWork, Sums};
use super::standard::{Products, StarEngine};
use crate::error::{Error, Result};
use crate::optimise::NormalEquations;
use crate::tensor::Order;
use ndarray::ArrayView2;

/// Evaluates points `[n, F]` of the free coordinates of a star, row by row.
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

    /// How many points are worth asking for together: one of the standard engine, which has no more work with
    /// points after each other that differ in dust and distance alone; of tensors, all.
    pub fn at_once(&self) -> usize {
        if self.engine.is_some() { 1 } else { usize::MAX }
    }

    /// Gradient `[n, M]` and curvature `[n, M, M]` of the loss along the moving coordinates.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn slopes(&mut self, star: usize, points: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> Result<()> {
        let (f, m) = (self.posterior.free.len(), self.moving.len());
        let Some(engine) = &mut self.engine else { return self.slopes_by_tensors(star, points, gradient, curvature) };
        if m == 0 {
            return Ok(());
        }
        self.coordinates.iter_mut().zip(self.posterior.fixed.row(star)).for_each(|(to, from)| *to = *from);
        let rows = gradient.chunks_exact_mut(m).zip(curvature.chunks_exact_mut(m * m));
        for (point, (gradient, curvature)) in points.chunks_exact(f.max(1)).zip(rows) {
            put(&self.posterior.free, point, &mut self.coordinates);
            let mut loss = 0.0;
            let products = Products { loss: &mut loss, gradient, curvature, residual_curvature: &mut [] };
            engine.evaluate(star, &self.coordinates, Order::First, products);
            let sums = Sums { loss: &mut loss, gradient, curvature };
            self.posterior.host.add_slopes(star, &self.coordinates, &mut self.host, sums);
        }
        Ok(())
    }

    /// The loss alone `[n]`.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn loss(&mut self, star: usize, points: &[f64], loss: &mut [f64]) -> Result<()> {
        let f = self.posterior.free.len();
        let Some(engine) = &mut self.engine else {
            let found = self.posterior.loss(&vec![star; loss.len()], as_matrix(points, loss.len(), f)?)?;
            loss.copy_from_slice(&found);
            return Ok(());
        };
        self.coordinates.iter_mut().zip(self.posterior.fixed.row(star)).for_each(|(to, from)| *to = *from);
        for (point, loss) in points.chunks_exact(f.max(1)).zip(loss) {
            put(&self.posterior.free, point, &mut self.coordinates);
            let products = Products { loss, gradient: &mut [], curvature: &mut [], residual_curvature: &mut [] };
            engine.evaluate(star, &self.coordinates, Order::Value, products);
            *loss += self.posterior.host.loss(star, &self.coordinates, &mut self.host);
        }
        Ok(())
    }

    fn slopes_by_tensors(&self, star: usize, points: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> Result<()> {
        let (f, columns) = (self.posterior.free.len(), &self.columns);
        let (n, m) = (points.len() / f.max(1), columns.len());
        if n == 0 || m == 0 {
            return Ok(());
        }
        let all = self.posterior.normal_equations(&vec![star; n], as_matrix(points, n, f)?)?;
        for i in 0..n {
            for (a, &left) in columns.iter().enumerate() {
                gradient[i * m + a] = all.gradient[[i, left]];
                for (b, &right) in columns.iter().enumerate() {
                    curvature[(i * m + a) * m + b] = all.curvature[[i, left, right]];
                }
            }
        }
        Ok(())
    }
}

/// Sets the free ones of all coordinates to a point.
fn put(free: &[usize], point: &[f64], coordinates: &mut [f64]) {
    free.iter().zip(point).for_each(|(&position, &coordinate)| coordinates[position] = coordinate);
}

fn as_matrix(points: &[f64], n: usize, f: usize) -> Result<ArrayView2<'_, f64>> {
    ArrayView2::from_shape((n, f), points).map_err(|error| Error::numerical("points of a star").source(error))
}
