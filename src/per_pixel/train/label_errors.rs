//! Errors of the training stars' labels as data. A network that is taught with labels in error learns lines
//! that are too weak. So labels and networks are found in turn: the labels of all stars are freed, with their
//! errors as Gaussian priors, and fitted to all pixels under the networks; then networks are taught anew.
//!
//! Lines that are too weak by a factor are fitted as well by labels that are spread too widely by it, which
//! teach the same lines again. So the freed labels go through the linear map that brings them nearest to the
//! given ones: they keep scale and zero point of these, and one alternation does what takes many without.

use super::super::engine::PixelModel;
use super::super::fit::{Ending, SMALLEST_ERROR, SpectrumFitOptions, SpectrumFits, SpectrumFitter};
use super::super::labels::LabelSpace;
use super::super::spectra::LabelledSpectra;
use super::trainer::TrainingSet;
use crate::error::Result;
use crate::statistics::{median, scatter_about_zero};
use nalgebra::{DMatrix, DVector};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Errors that weaken no label's lines by more than 2 % are let be.
const WEAK: f64 = 0.98;
/// A star tells of the errors of a label where its spectrum takes this part off the label's variance.
const INFORMATIVE: f64 = 0.2;
/// Fewest such stars.
const FEWEST: usize = 30;
/// Fewest stars for each slope of the map back to the given labels.
const STARS_OF_A_SLOPE: usize = 5;
/// Labels that follow from others leave its slopes open: next to none, relative to the trace.
const RIDGE: f64 = 1e-9;
/// Errors below this part of the median say nothing of the map between fitted and given labels.
const PINNED: f64 = 0.1;

/// The errors of a label, by what the spectra say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelErrors {
    pub label: String,
    /// Strength of the label's lines, relative to the true one, in networks that take the labels for exact:
    /// 1 − σ²/s² with s² the variance of the label that the other labels do not predict.
    pub attenuation: f64,
    /// How far the labels of the stars moved, relative to how far true errors would move them (1); none where
    /// spectra say too little of the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Stars that it is of.
    pub n_stars: usize,
}

/// Labels of training and validation stars after they were freed.
#[derive(Debug, Clone)]
pub struct FreedLabels {
    /// `[N, L]`, in the units of the labels.
    pub training: Array2<f64>,
    pub validation: Array2<f64>,
    /// `[L]`.
    pub errors: Vec<LabelErrors>,
    /// Stars whose labels stayed as they were, because their spectra could not be fitted.
    pub n_unfitted: usize,
}

/// How many times a model is taught: once where errors of labels do not matter.
pub(crate) fn label_rounds(set: &TrainingSet, alternations: usize) -> usize {
    let weakest = attenuations(&set.space, &set.spectra).into_iter().fold(1.0, f64::min);
    if weakest < WEAK { 1 + alternations } else { 1 }
}

/// Labels whose errors matter, with what they leave of the label's lines where it is taken for exact.
pub(crate) fn weakened(set: &TrainingSet) -> Vec<(&str, f64)> {
    let all = set.space.names.iter().map(String::as_str).zip(attenuations(&set.space, &set.spectra));
    all.filter(|(_, left)| *left < WEAK).collect()
}

/// What errors make of the strength of each label's lines ([`LabelErrors::attenuation`]) `[L]`: of a linear
/// regression on all labels it is what is left of the label's coefficient.
pub(super) fn attenuations(space: &LabelSpace, spectra: &LabelledSpectra) -> Vec<f64> {
    let l = space.len();
    let Some(errors) = &spectra.label_errors else { return vec![1.0; l] };
    let mut scaled = space.scale(spectra.labels.view());
    let means = scaled.mean_axis(Axis(0)).unwrap_or_default();
    scaled -= &means;
    let covariance = scaled.t().dot(&scaled) / spectra.len().max(1) as f64;
    // Labels that are a sum of others have no variance of their own: next to none.
    let matrix = DMatrix::from_fn(l, l, |i, j| covariance[[i, j]] + if i == j { 1e-9 } else { 0.0 });
    let inverse = matrix.try_inverse().unwrap_or_else(|| DMatrix::from_element(l, l, f64::INFINITY));
    let of = |k: usize| {
        let error = median(&errors.column(k).to_vec()) / space.width(k);
        if error == 0.0 { 1.0 } else { (1.0 - error * error * inverse[(k, k)]).max(0.0) }
    };
    (0..l).map(of).collect()
}

/// Frees the labels of all stars under a model. The priors are those of the given labels, every time.
/// Pixels that no training spectrum has take no part.
///
/// # Errors
/// Of impossible shapes.
pub(crate) fn free_labels(set: &TrainingSet, model: Arc<dyn PixelModel>) -> Result<FreedLabels> {
    let options = SpectrumFitOptions::default();
    let first = set.spectra.labels.slice(ndarray::s![..1, ..]);
    let fitter = SpectrumFitter::new(model, first, options)?;
    let is_trained: Vec<bool> =
        set.spectra.inverse_variance.axis_iter(Axis(1)).map(|column| column.iter().any(|weight| *weight > 0.0)).collect();
    let fit = |spectra: &LabelledSpectra| -> Result<SpectrumFits> {
        let mut weight = spectra.inverse_variance.clone();
        let untrained = weight.columns_mut().into_iter().zip(&is_trained).filter(|(_, is_trained)| !**is_trained);
        untrained.for_each(|(mut column, _)| column.fill(0.0));
        let errors = spectra.label_errors.clone().unwrap_or_else(|| Array2::zeros(spectra.labels.dim()));
        fitter.fit_near(spectra.flux.view(), weight.view(), spectra.labels.view(), errors.view())
    };
    let parts = [&set.spectra, &set.validation];
    let [training, validation] = [fit(parts[0])?, fit(parts[1])?];
    let is_fitted = |ending: &Ending| *ending != Ending::TooFewPixels;
    let map = LinearMap::to_given(&set.space, &set.spectra, &training);
    let labels = |spectra: &LabelledSpectra, fits: &SpectrumFits| {
        let mapped = set.space.unscale(map.apply(set.space.scale(fits.labels.view())).view());
        let is_exact = |at: (usize, usize)| spectra.label_errors.as_ref().is_none_or(|errors| errors[at] == 0.0);
        let known = |at: (usize, usize)| {
            if is_fitted(&fits.endings[at.0]) && !is_exact(at) { mapped[at] } else { spectra.labels[at] }
        };
        Array2::from_shape_fn(spectra.labels.dim(), known)
    };
    let fits = [&training, &validation];
    let freed = [labels(&set.spectra, &training), labels(&set.validation, &validation)];
    let errors = judge(&set.space, &parts, &fits, [&freed[0], &freed[1]], attenuations(&set.space, &set.spectra));
    let n_unfitted = fits.iter().flat_map(|fits| &fits.endings).filter(|ending| !is_fitted(ending)).count();
    if n_unfitted > 0 {
        tracing::info!("{n_unfitted} stars without a good pixel keep their labels");
    }
    let [training, validation] = freed;
    Ok(FreedLabels { training, validation, errors, n_unfitted })
}

/// x + B (x − mean) + b of scaled labels x.
struct LinearMap {
    mean: Vec<f64>,
    /// `[L, L]`, a column per label that comes out.
    slopes: DMatrix<f64>,
    offset: Vec<f64>,
}

impl LinearMap {
    /// That which brings fitted labels nearest to the given ones, in units of their errors.
    fn to_given(space: &LabelSpace, spectra: &LabelledSpectra, fits: &SpectrumFits) -> Self {
        let l = space.len();
        let (given, fitted) = (space.scale(spectra.labels.view()), space.scale(fits.labels.view()));
        let good: Vec<usize> = (0..spectra.len()).filter(|&i| fits.endings[i] == Ending::Converged).collect();
        let mean = |k: usize| good.iter().map(|&i| fitted[[i, k]]).sum::<f64>() / good.len().max(1) as f64;
        let mean: Vec<f64> = (0..l).map(mean).collect();
        let mut map = Self { slopes: DMatrix::zeros(l, l), offset: vec![0.0; l], mean };
        let Some(errors) = spectra.label_errors.as_ref().filter(|_| good.len() >= STARS_OF_A_SLOPE * (l + 1)) else {
            return map;
        };
        let rows = DMatrix::from_fn(good.len(), l + 1, |row, k| if k < l { fitted[[good[row], k]] - map.mean[k] } else { 1.0 });
        for k in 0..l {
            // Labels that are far better known than most stay where they are given, whatever the scale of the
            // fits.
            let pinned = PINNED * median(&errors.column(k).to_vec());
            let weight = |&i: &usize| match errors[[i, k]] {
                error if error < pinned => 0.0,
                error => (error / space.width(k)).max(SMALLEST_ERROR).powi(-2),
            };
            let weights = DVector::from_iterator(good.len(), good.iter().map(weight));
            let missed = DVector::from_fn(good.len(), |row, _| weights[row] * (given[[good[row], k]] - fitted[[good[row], k]]));
            let mut weighted = rows.clone();
            weighted.column_iter_mut().for_each(|mut column| column.component_mul_assign(&weights));
            let mut normal = rows.tr_mul(&weighted);
            let ridge = RIDGE * normal.trace();
            (0..=l).for_each(|j| normal[(j, j)] += ridge);
            if let Some(factor) = normal.cholesky() {
                let found = factor.solve(&rows.tr_mul(&missed));
                map.slopes.set_column(k, &found.rows(0, l));
                map.offset[k] = found[l];
            }
        }
        map
    }

    fn apply(&self, scaled: Array2<f64>) -> Array2<f64> {
        let l = self.mean.len();
        let moved = |(i, k): (usize, usize)| {
            let along: f64 = (0..l).map(|j| self.slopes[(j, k)] * (scaled[[i, j]] - self.mean[j])).sum();
            scaled[[i, k]] + along + self.offset[k]
        };
        Array2::from_shape_fn(scaled.dim(), moved)
    }
}

/// A label moves by what the spectrum takes off its variance: σ² − C with C the variance that is left.
fn judge(
    space: &LabelSpace,
    parts: &[&LabelledSpectra; 2],
    fits: &[&SpectrumFits; 2],
    freed: [&Array2<f64>; 2],
    attenuations: Vec<f64>,
) -> Vec<LabelErrors> {
    let of = |(k, attenuation): (usize, f64)| {
        let mut moves = Vec::new();
        for ((spectra, fits), freed) in parts.iter().zip(fits).zip(freed) {
            let Some(errors) = &spectra.label_errors else { continue };
            for i in 0..spectra.len() {
                let variance = errors[[i, k]].powi(2);
                let taken = variance - fits.covariance[[i, k, k]];
                let moved = freed[[i, k]] - spectra.labels[[i, k]];
                if variance.is_finite() && taken > INFORMATIVE * variance && moved.is_finite() && !fits.at_bound[i] {
                    moves.push(moved / taken.sqrt());
                }
            }
        }
        let ratio = (moves.len() >= FEWEST).then(|| scatter_about_zero(&moves));
        LabelErrors { label: space.names[k].clone(), attenuation, ratio, n_stars: moves.len() }
    };
    attenuations.into_iter().enumerate().map(of).collect()
}
