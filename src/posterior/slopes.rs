//! Fluxes and their derivatives at given coordinates, before any whitening, with the normal equations there.

use super::Posterior;
use super::standard::Products;
use crate::error::{Error, Result};
use crate::optimise::{Normal, NormalEquations};
use crate::tensor::{Order, to_f64};
use ndarray::{Array2, Array3, ArrayView2, Axis};

/// Predicted fluxes `[n, W]` with their derivatives along the free coordinates `[n, F, W]`, and the normal
/// equations of all terms.
#[derive(Debug, Clone)]
pub struct FluxSlopes {
    pub flux: Array2<f64>,
    pub jacobian: Array3<f64>,
    pub normal: Normal,
}

impl Posterior<'_> {
    /// Fluxes, Jacobians and normal equations of the named stars at their free coordinates `[n, F]`, by the
    /// engine that fits.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn flux_slopes(&self, stars: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<FluxSlopes> {
        let all = self.all_coordinates(stars, coordinates);
        let (n, f, w) = (stars.len(), self.free.len(), self.observations.grid.len());
        let (flux, jacobian, normal) = (Array2::zeros((n, w)), Array3::zeros((n, f, w)), Normal::zeros(n, f));
        let mut slopes = FluxSlopes { flux, jacobian, normal };
        if let Some(engine) = &self.standard {
            let mut engine = engine.star_engine(self.observations, &self.free);
            let (mut gradient, mut curvature) = (vec![0.0; f], vec![0.0; f * f]);
            for (i, &star) in stars.iter().enumerate() {
                let (loss, gradient, curvature) = (&mut slopes.normal.loss[i], &mut gradient[..], &mut curvature[..]);
                let out = Products { loss, gradient, curvature, residual_curvature: &mut [] };
                engine.flux_slopes(star, &all.row(i).to_vec(), out, |row, values| {
                    let to = match row.checked_sub(1) {
                        None => slopes.flux.row_mut(i),
                        Some(p) => slopes.jacobian.slice_mut(ndarray::s![i, p, ..]),
                    };
                    to.into_iter().zip(values).for_each(|(to, from)| *to = f64::from(*from));
                });
                slopes.normal.gradient.row_mut(i).iter_mut().zip(&*gradient).for_each(|(to, from)| *to = *from);
                let to = slopes.normal.curvature.index_axis_mut(Axis(0), i);
                to.into_iter().zip(&*curvature).for_each(|(to, from)| *to = *from);
            }
            self.add_host_terms(stars, &all, &mut slopes.normal, false)?;
            return Ok(slopes);
        }
        slopes.normal = self.normal_equations(stars, coordinates)?;
        let flat: Vec<f64> = all.iter().copied().collect();
        let coordinates = self.model.device().tensor(&flat, [n, all.ncols()]);
        let jet = self.model.flux(coordinates, &self.free, Order::First)?;
        // Derivatives have the parameter first, `[F, n, W]`.
        let tangents = jet.jacobian_rows(f).map(to_f64).unwrap_or_else(|| vec![0.0; f * n * w]);
        let value = to_f64(jet.value);
        if value.len() != n * w || tangents.len() != f * n * w {
            return Err(Error::numerical("flux of the model")
                .found(format!("{} values and {} derivatives", value.len(), tangents.len()))
                .expected(format!("{} and {}", n * w, f * n * w)));
        }
        slopes.flux.iter_mut().zip(value).for_each(|(to, from)| *to = from);
        slopes.jacobian.indexed_iter_mut().for_each(|((i, p, k), to)| *to = tangents[(p * n + i) * w + k]);
        Ok(slopes)
    }
}
