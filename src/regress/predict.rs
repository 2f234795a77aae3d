//! Values with covariances.

use super::model::RegressionModel;
use super::objective::{LN_LABEL_PER_MAGNITUDE, meaning};
use super::rows::{Copy, median_flux};
use super::target::Target;
use crate::error::Result;
use crate::infer::flags::SMALLEST_TAIL_PROBABILITY;
use crate::observations::{Observations, Sample};
use crate::statistics::chi_square_tail;
use ndarray::{Array2, Array3, Axis, s};

/// Bytes of inputs that are worked on at once.
const BYTES: usize = 16 << 20;

/// Predictions of some stars, in file units.
///
/// # Shapes
/// `values [N, P]`, `covariance [N, P, P]`, `own [N, P]` (variances before calibration), `distance [N]` from
/// the training domain, `leftover [N]` of components in units of the training stars', `has_light [N]`:
/// whether the fluxes are other than zero, `is_other_flux [N]`: whether they are of another normalisation.
/// NaN where there is no prediction, or where components leave nothing.
#[derive(Debug, Clone)]
pub(super) struct Predictions {
    pub values: Array2<f64>,
    pub covariance: Array3<f64>,
    pub own: Array2<f64>,
    pub distance: Vec<f64>,
    pub leftover: Vec<f64>,
    pub has_light: Vec<bool>,
    pub is_other_flux: Vec<bool>,
}

/// In what the predictions of networks are averaged.
#[derive(Debug, Clone, Copy)]
enum Averaging {
    Values,
    /// 1/√L, as which the loss of luminosities is a mean: networks that differ by 0.3 mag have a mean that is
    /// 0.01 mag fainter than that of their magnitudes.
    Labels,
}

impl Averaging {
    fn of(target: &Target) -> Self {
        if matches!(target, Target::Luminosity(_)) { Self::Labels } else { Self::Values }
    }

    /// What is averaged of a value, relative to a centre near it.
    fn averaged(self, value: f64, centre: f64) -> f64 {
        match self {
            Self::Values => value,
            Self::Labels => (LN_LABEL_PER_MAGNITUDE * (value - centre)).exp(),
        }
    }

    /// The value that an average stands for.
    fn restored(self, average: f64, centre: f64) -> f64 {
        match self {
            Self::Values => average,
            Self::Labels => centre + average.ln() / LN_LABEL_PER_MAGNITUDE,
        }
    }

    /// Over the first axis of `[M, N, P]`.
    fn mean(self, values: &Array3<f64>) -> Array2<f64> {
        let (m, n, p) = values.dim();
        let centre = values.mean_axis(Axis(0)).unwrap_or_else(|| Array2::zeros((n, p)));
        Array2::from_shape_fn((n, p), |(star, k)| {
            let centre = centre[[star, k]];
            let sum: f64 = (0..m).map(|member| self.averaged(values[[member, star, k]], centre)).sum();
            self.restored(sum / m as f64, centre)
        })
    }
}

impl RegressionModel {
    /// Predicts the given stars; `after` is called now and then, and may stop the work.
    pub(super) fn predict(
        &self,
        observations: &Observations,
        stars: &[usize],
        after: &dyn Fn() -> Result<()>,
    ) -> Result<Predictions> {
        let mut found = self.nothing_predicted(stars.len());
        self.predict_into(observations, stars, 0, &mut found, after)?;
        Ok(found)
    }

    /// Predicts the given stars of a sample.
    pub(super) fn predict_of(&self, sample: &dyn Sample, stars: &[usize]) -> Result<Predictions> {
        let mut found = self.nothing_predicted(stars.len());
        let mut first = 0;
        sample.visit(stars, &mut |part, stars| {
            self.predict_into(part, stars, first, &mut found, &|| Ok(()))?;
            first += stars.len();
            Ok(())
        })?;
        Ok(found)
    }

    fn nothing_predicted(&self, n: usize) -> Predictions {
        let p = self.scaled_parameters();
        Predictions {
            values: Array2::from_elem((n, p), f64::NAN),
            covariance: Array3::from_elem((n, p, p), f64::NAN),
            own: Array2::from_elem((n, p), f64::NAN),
            distance: vec![f64::NAN; n],
            leftover: vec![f64::NAN; n],
            has_light: vec![true; n],
            is_other_flux: vec![false; n],
        }
    }

    /// Writes the predictions of some stars, of which the first is star `first` of `found`.
    fn predict_into(
        &self,
        observations: &Observations,
        stars: &[usize],
        first: usize,
        found: &mut Predictions,
        after: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let at_once = (BYTES / (4 * self.inputs.grid.len().max(self.inputs.len()))).clamp(8, 8192);
        for (chunk, stars) in stars.chunks(at_once).enumerate() {
            self.predict_chunk(observations, stars, first + chunk * at_once, found)?;
            after()?;
        }
        Ok(())
    }

    fn scaled_parameters(&self) -> usize {
        self.target.parameters().len()
    }

    fn predict_chunk(&self, observations: &Observations, stars: &[usize], first: usize, found: &mut Predictions) -> Result<()> {
        let (n, p, m) = (stars.len(), self.scaled_parameters(), self.predictors.len());
        let rows = self.inputs.rows(observations, stars, None)?;
        let mut base = Array3::<f64>::zeros((m, n, p));
        let mut predicted = Array2::<f64>::zeros((n, p));
        for (member, predictor) in self.predictors.iter().enumerate() {
            for (star, outputs) in predictor.predict(rows.values.view()).rows().into_iter().enumerate() {
                let (values, variances) = meaning(&self.target, &self.scaling, &outputs.to_vec());
                for k in 0..p {
                    base[[member, star, k]] = values[k];
                    predicted[[star, k]] += variances[k] / m as f64;
                }
            }
        }
        let scale = Averaging::of(&self.target);
        let mean = scale.mean(&base);
        let mut covariance = Array3::<f64>::zeros((n, p, p));
        let mut add = |star: usize, deviation: &[f64], weight: f64| {
            for i in 0..p {
                for j in 0..p {
                    covariance[[star, i, j]] += weight * deviation[i] * deviation[j];
                }
            }
        };
        if m > 1 {
            for member in 0..m {
                for star in 0..n {
                    let deviation: Vec<f64> = (0..p).map(|k| base[[member, star, k]] - mean[[star, k]]).collect();
                    add(star, &deviation, 1.0 / (m - 1) as f64);
                }
            }
        }
        // Noise moves the mean of the networks less than any of them, where they have learned noise of their
        // own. And the copies have its mean off the star's own prediction: their spectra are noisier than
        // those of training.
        let mut copies = Array3::<f64>::zeros((self.copies as usize, n, p));
        for (copy, mut moved) in copies.outer_iter_mut().enumerate() {
            let noisy = self.inputs.rows(observations, stars, Some(Copy { seed: self.seed, copy: copy as u32 }))?;
            for predictor in &self.predictors {
                for (star, outputs) in predictor.predict(noisy.values.view()).rows().into_iter().enumerate() {
                    let (values, _) = meaning(&self.target, &self.scaling, &outputs.to_vec());
                    (0..p).for_each(|k| moved[[star, k]] += scale.averaged(values[k], mean[[star, k]]) / m as f64);
                }
            }
            moved.zip_mut_with(&mean, |value, centre| *value = scale.restored(*value, *centre));
        }
        if self.copies > 1 {
            let centre = copies.mean_axis(Axis(0)).unwrap_or_else(|| Array2::zeros((n, p)));
            for moved in copies.outer_iter() {
                for star in 0..n {
                    let deviation: Vec<f64> = (0..p).map(|k| moved[[star, k]] - centre[[star, k]]).collect();
                    add(star, &deviation, 1.0 / f64::from(self.copies - 1));
                }
            }
        }
        let leftovers = self.domain.leftover.and_then(|limit| Some((limit, self.inputs.leftovers(observations, stars)?)));
        for star in (0..n).filter(|&star| !rows.is_unusable[star]) {
            if (0..p).any(|k| !mean[[star, k]].is_finite()) {
                continue;
            }
            found.values.row_mut(first + star).assign(&mean.row(star));
            let mut matrix = covariance.slice_mut(s![star, .., ..]);
            for k in 0..p {
                matrix[[k, k]] += predicted[[star, k]];
                found.own[[first + star, k]] = matrix[[k, k]];
            }
            // Correlations stay as they are; variances are the calibrated ones.
            let factors: Vec<f64> = (0..p).map(|k| self.calibration[k].factor(mean[[star, k]])).collect();
            for i in 0..p {
                for j in 0..p {
                    matrix[[i, j]] *= factors[i] * factors[j];
                }
                matrix[[i, i]] += self.calibration[i].floor.powi(2);
            }
            found.covariance.slice_mut(s![first + star, .., ..]).assign(&matrix);
            found.distance[first + star] = self.domain.distance(rows.values.row(star));
            found.has_light[first + star] = has_light(observations, stars[star]);
            // A median of thousands of fluxes, for models that look at it.
            found.is_other_flux[first + star] =
                self.domain.flux.is_some() && self.domain.is_other_flux(median_flux(observations, stars[star]));
            if let Some((limit, leftovers)) = &leftovers {
                found.leftover[first + star] = limit.of(leftovers[star]);
            }
        }
        Ok(())
    }
}

/// Whether a star's fluxes differ from zero by more than noise does once in a thousand.
fn has_light(observations: &Observations, star: usize) -> bool {
    let tail = chi_square_tail(observations.chi_square_of_nothing(star), observations.n_fluxes(star) as f64);
    tail.is_nan() || tail < SMALLEST_TAIL_PROBABILITY
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of magnitudes 4 and 5 the mean of 10^(M/5) is that of one of 4.557.
    #[test]
    fn luminosities_are_averaged_as_parallaxes() {
        let values = Array3::from_shape_vec((2, 1, 1), vec![4.0, 5.0]).unwrap();
        assert!((Averaging::Values.mean(&values)[[0, 0]] - 4.5).abs() < 1e-12);
        let found = Averaging::Labels.mean(&values)[[0, 0]];
        assert!((found - 5.0 * (0.5 * (10f64.powf(0.8) + 10.0)).log10()).abs() < 1e-12, "{found}");
        let alone = Array3::from_shape_vec((1, 1, 2), vec![4.0, f64::NAN]).unwrap();
        let found = Averaging::Labels.mean(&alone);
        assert!((found[[0, 0]] - 4.0).abs() < 1e-12 && found[[0, 1]].is_nan());
    }
}
