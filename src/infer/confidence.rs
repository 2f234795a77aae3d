//! What is known of every star beside its estimate, as features of the classifiers of confidences, and the
//! confidences of a model that has such (spec 1 §5; Zhang et al. 2023, appendix B, without what only Gaia
//! has).

use super::estimates::Estimates;
use super::fit::Fitter;
use super::flags;
use crate::confidence::{FLUX_FEATURE, TRUSTED, measurement_feature};
use crate::error::Result;
use crate::observations::Observations;
use crate::package::Estimator;
use crate::statistics::median;
use crate::warning::{warn_once, warn_once_about};
use ndarray::Array2;

/// Squares below this are this.
const SMALLEST_SQUARE: f64 = 1e-7;
/// Stands for −2 ln P of a second optimum where there is none.
const NO_SECOND: f64 = 30.0;

impl Fitter {
    /// Names of the features, and their values `[N, F]`: estimates and ln of their errors, measured values
    /// over their errors and squared pulls, χ², prior, second optimum, signal-to-noise, and asinh of the
    /// residual of every flux. What is not known is NaN.
    ///
    /// # Errors
    /// When the flux cannot be predicted.
    pub fn confidence_features(&self, observations: &Observations, estimates: &Estimates) -> Result<(Vec<String>, Array2<f64>)> {
        let n = estimates.len();
        let mut names = Vec::new();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        let mut put = |name: String, values: Vec<f64>| {
            names.push(name);
            columns.push(values);
        };
        let error = |star: usize, position: usize| {
            let fitted = estimates.fitted.iter().position(|fitted| *fitted == position);
            fitted.map_or(f64::NAN, |k| estimates.covariance[[star, k, k]].sqrt())
        };
        let space = &self.model().space;
        for (position, parameter) in
            space.parameters.iter().enumerate().filter(|(position, _)| estimates.fitted.contains(position))
        {
            let name = &parameter.name;
            put(name.clone(), estimates.values.column(position).to_vec());
            put(format!("ln_{name}_error"), (0..n).map(|star| error(star, position).ln()).collect());
        }
        for name in space.named(&self.options().constraints) {
            let position = space.position(&name)?;
            let measured: Vec<Option<(f64, f64)>> = (0..n).map(|star| observations.constraint(&name, star)).collect();
            let of = |pick: &dyn Fn(usize, (f64, f64)) -> f64| -> Vec<f64> {
                measured
                    .iter()
                    .enumerate()
                    .map(|(star, measured)| measured.map_or(f64::NAN, |measured| pick(star, measured)))
                    .collect()
            };
            put(measurement_feature(&name), of(&|_, (value, error)| (value / error).asinh()));
            let pull = |star: usize, (value, error): (f64, f64)| {
                ((estimates.values[[star, position]] - value) / error).powi(2).max(SMALLEST_SQUARE).ln()
            };
            put(format!("ln_{name}_pull2"), of(&pull));
        }
        let reduced = estimates.chi_square.iter().zip(&estimates.degrees_of_freedom);
        put("ln_chi2_per_dof".into(), reduced.map(|(chi, dof)| (chi / dof).ln()).collect());
        put("ln_prior".into(), estimates.ln_prior.clone());
        put("n_flux".into(), estimates.n_fluxes.iter().map(|n| f64::from(*n)).collect());
        let second = estimates.second_delta_loss.iter();
        put("second_delta_loss".into(), second.map(|d| if d.is_finite() { d.min(NO_SECOND) } else { NO_SECOND }).collect());
        let signal = |star: usize| {
            let pairs = observations.flux.row(star).into_iter().zip(observations.flux_error.row(star));
            let ratios: Vec<f64> =
                pairs.filter(|(_, error)| error.is_finite()).map(|(flux, error)| f64::from(flux / error)).collect();
            median(&ratios).asinh()
        };
        put(FLUX_FEATURE.into(), (0..n).map(signal).collect());
        let coordinates = estimates.coordinates.mapv(|u| if u.is_finite() { u } else { 0.0 });
        let predicted = self.model().predict(coordinates.view())?;
        for (band, name) in self.model().grid.names.iter().enumerate() {
            let residual = |star: usize| {
                let error = f64::from(observations.flux_error[[star, band]]);
                match error.is_finite() {
                    true => ((predicted[[star, band]] - f64::from(observations.flux[[star, band]])) / error).asinh(),
                    false => f64::NAN,
                }
            };
            put(format!("residual_{name}"), (0..n).map(residual).collect());
        }
        let features = Array2::from_shape_fn((n, columns.len()), |(star, k)| columns[k][star]);
        Ok((names, features))
    }

    /// Sets confidences and their flags, where the model has classifiers of them: NaN for stars that were not
    /// fitted, and for those of a kind that the classifiers do not know.
    pub(super) fn add_confidences(&self, observations: &Observations, estimates: &mut Estimates) -> Result<()> {
        let Some(classifiers) = &self.trained().confidence else { return Ok(()) };
        let (names, features) = self.confidence_features(observations, estimates)?;
        if self.guide.is_some() || classifiers.taught_with != self.deciding_choices()? || names != classifiers.features {
            warn_once(
                "the model's confidences were learned from fits with other options (constraints, priors, starts): they are null",
            );
            return Ok(());
        }
        let found = classifiers.confidence(features.view())?;
        let is_fitted = |star: usize| estimates.core.flags[star] & flags::NOT_FITTED == 0;
        let is_known: Vec<bool> =
            (0..estimates.len()).map(|star| is_fitted(star) && classifiers.knows(features.row(star))).collect();
        let n = (0..estimates.len()).filter(|&star| is_fitted(star) && !is_known[star]).count();
        if n > 0 {
            let text = "stars lack a measured value that those had of which the model's confidences were learned, or have one that \
                        those lacked: their confidences are null. Teach it with stars of both kinds (`photosphere confidence`)";
            warn_once_about(text, format!("{n} {text}"));
        }
        for (classifier, column) in classifiers.labels.iter().zip(found.columns()) {
            let values: Vec<f64> =
                column.iter().zip(&is_known).map(|(p, is_known)| if *is_known { *p } else { f64::NAN }).collect();
            if let Some(bit) = flags::CONFIDENCES.iter().position(|name| *name == classifier.label) {
                let doubtful = values.iter().map(|p| if *p < TRUSTED { 1 << bit } else { 0 });
                estimates.core.flags.iter_mut().zip(doubtful).for_each(|(flags, bit)| *flags |= bit);
            }
            estimates.confidence.push((classifier.label.clone(), values));
        }
        Ok(())
    }
}
