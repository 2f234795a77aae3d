//! Fluxes and their derivatives at given coordinates, before any whitening.

use super::Posterior;
use crate::error::{Error, Result};
use crate::tensor::{Order, to_f64};
use ndarray::{Array2, Array3, ArrayView2};

/// Predicted fluxes `[n, W]` with their derivatives along the free coordinates `[n, F, W]`.
#[derive(Debug, Clone)]
pub struct FluxSlopes {
    pub flux: Array2<f64>,
    pub jacobian: Array3<f64>,
}

impl Posterior<'_> {
    /// Fluxes and Jacobians of the named stars at their free coordinates `[n, F]`, by the engine that fits.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn flux_slopes(&self, stars: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<FluxSlopes> {
        let all = self.all_coordinates(stars, coordinates);
        let (n, f, w) = (stars.len(), self.free.len(), self.observations.grid.len());
        let mut slopes = FluxSlopes { flux: Array2::zeros((n, w)), jacobian: Array3::zeros((n, f, w)) };
        if let Some(engine) = &self.standard {
            let mut engine = engine.star_engine(self.observations, &self.free);
            for (i, &star) in stars.iter().enumerate() {
                engine.flux_slopes(star, &all.row(i).to_vec(), |row, values| {
                    let to = match row.checked_sub(1) {
                        None => slopes.flux.row_mut(i),
                        Some(p) => slopes.jacobian.slice_mut(ndarray::s![i, p, ..]),
                    };
                    to.into_iter().zip(values).for_each(|(to, from)| *to = f64::from(*from));
                });
            }
            return Ok(slopes);
        }
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
