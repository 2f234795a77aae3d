//! Catalogues: all labels from all pixels, with the full covariance and flags.

use super::domain::Domain;
use super::goodness::Fitted;
use super::guide::LabelGuide;
use super::line_spread::fault_of_line_spread;
use super::on_device::{DeviceFitter, MakeTensors};
use super::package::SpectralCore;
use crate::catalogue::flags::{Flag, description};
use crate::catalogue::{CatalogueColumns, Estimates};
use crate::error::{Error, Result};
use crate::infer::{flags, is_poor};
use crate::observations::{Observations, PURE_NUMBER, ReadOptions, columns, input_flag};
use crate::package::{Estimated, Estimator, FitStage, Reached, Request};
use crate::per_pixel::{
    Ending, Nuisance, SpectrumEngine, SpectrumFitOptions, SpectrumFits, SpectrumFitter, Velocity, canonical_name,
};
use crate::quantity::Facts;
use crate::residuals::{Groups, MAGNITUDE, Mark, Products, Responses, packed};
use crate::statistics::median;
use crate::table::{Column, ColumnSchema, Values};
use crate::tensor::Device;
use crate::warning::warn_once;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use std::sync::Arc;

/// A fit whose χ² is further above the median than this, in median absolute deviations, is flagged (Zhang et
/// al. 2024).
pub const POOR_FIT_BEYOND: f64 = 3.0;
/// Errors below which a normal value is with 95 %.
const ONE_SIDED: f64 = 1.645;
/// Labels are outside the range of the training when they leave it by more than this part of its width, …
const RANGE_TOLERANCE: f64 = 1e-6;
/// … and by more than this many of their errors: with it one of 740 labels at the edge of the range is,
/// whatever the number of labels.
const RANGE_ERRORS: f64 = 3.0;

/// Errors of labels are none when they are larger than this many times the range of the training, as those of
/// forward models.
const LARGEST_ERROR: f64 = 10.0;

/// Every bit of a catalogue.
pub const FLAGS: [Flag; 7] = [
    Flag::new(
        flags::POOR_FIT,
        "poor_fit",
        "qflag_chi2 of 3 or more, or, where that is null, chi2 with a tail probability below 0.001 for n_dof degrees of freedom",
    ),
    Flag::new(
        flags::UNLIKELY_LABELS,
        "unlikely_labels",
        "far from all stars of the training in T_eff, log g, [Fe/H] and other labels that are no abundance ratios",
    ),
    Flag::new(flags::NOT_CONVERGED, "not_converged", "not converged, or without errors: the flux does not tell the labels"),
    Flag::new(
        flags::OUTSIDE_TRAINING_RANGE,
        "outside_training_range",
        "a label outside the training range by more than three of its errors, or at the bound of the fit",
    ),
    flags::BAD_FLUX_FLAG,
    Flag::new(flags::NOT_FITTED, "not_fitted", "not fitted (too few fluxes)"),
    Flag::new(
        flags::AT_LIMIT,
        "at_limit",
        "a label, or another parameter, at the bound of the fit (a broadening of zero is none)",
    ),
];

/// Fits spectra with a model.
pub(super) struct SpectralEstimator {
    core: Arc<SpectralCore>,
    options: SpectrumFitOptions,
    fitter: SpectrumFitter,
    /// Where fits are not the processor's.
    on_device: Option<DeviceFitter>,
    /// Blocks of pixels whose residuals are judged together.
    groups: Groups,
    guide: Option<LabelGuide>,
    domain: Option<Domain>,
}

impl SpectralEstimator {
    /// On a device, with what makes tensors of the model there, where its family has them.
    pub fn new(core: Arc<SpectralCore>, request: &Request, (device, tensors): (&Device, &MakeTensors<'_>)) -> Result<Self> {
        // There is no prior to be left out: --likelihood-only is what is done anyway. Zero points are refused
        // by whom reads the fluxes.
        let is_had = |choice: &&str| ["--likelihood-only", "--zero-points", "--start-from"].contains(choice);
        if let Some(choice) = request.choices_of_fits().find(|choice| !is_had(choice)) {
            return Err(Error::usage(choice)
                .found(format!("it with a model of the kind '{}'", core.kind))
                .expected("a fit of all labels to the spectrum alone")
                .remedy("Leave the option out."));
        }
        let options: SpectrumFitOptions = request.options()?;
        let fitter = SpectrumFitter::new(core.engine.clone(), core.templates.view(), options.clone())?;
        check_columns(&core.space().names, &fitter.nuisances())?;
        let is_on_device = match options.engine {
            SpectrumEngine::Auto => !device.is_cpu(),
            engine => engine == SpectrumEngine::Device,
        };
        let on_device = match is_on_device.then(|| tensors(device)) {
            None => None,
            Some(Some(model)) => Some(DeviceFitter::new(model, core.engine.as_ref(), core.templates.view(), &options)?),
            Some(None) => {
                return Err(Error::usage(if device.is_cpu() {
                    "fit option engine".into()
                } else {
                    format!("--device {device}")
                })
                .found(format!("it with a model of the kind '{}', which is fitted on the processor", core.kind))
                .expected("pixel_networks")
                .remedy("Leave --device out, or write `engine = \"processor\"` in the options of the fit."));
            }
        };
        let groups = Groups::of(&core.card.grid);
        let own = read_options(&core);
        let guide = request.start_from.as_ref().map(|from| LabelGuide::new(from, &core, &own)).transpose()?;
        if core.card.goodness.is_none() {
            warn_once(format!(
                "model {}: it knows no chi2 of good spectra (fewer than 50 for validation, or imported): poor fits (bit 3) are those \
                 whose chi2 noise alone makes once in a thousand",
                core.id()
            ));
        }
        let domain = Domain::of(core.space(), core.templates.view());
        Ok(Self { core, options, fitter, on_device, groups, guide, domain })
    }
}

/// Fails where a column of what is fitted beside the labels has the name of a label's.
fn check_columns(labels: &[String], nuisances: &[Nuisance]) -> Result<()> {
    for nuisance in nuisances {
        for column in nuisance.columns() {
            if let Some(label) = labels.iter().find(|label| column == **label || column == format!("{label}_error")) {
                return Err(Error::usage(format!("fit option {}", nuisance.option))
                    .found(format!("a model with a label '{label}', which has a column {column}, as this option has"))
                    .expected("labels of other names than the columns of what is fitted beside them")
                    .remedy("Leave the option out, or train the model with another name of the label."));
            }
        }
    }
    Ok(())
}

/// Products of the whitened rows of a spectrum, whose pixels are independent and each in one group: `slopes
/// [1 + K, W]` are the flux and its derivatives.
fn products(groups: &Groups, flux: ArrayView1<'_, f32>, weight: ArrayView1<'_, f32>, slopes: ArrayView2<'_, f32>) -> Products {
    let (q, k) = (groups.len(), slopes.nrows() - 1);
    let mut products = Products::zeros(q, k);
    for (pixel, &group) in groups.of_entry.iter().enumerate() {
        let (weight, predicted) = (f64::from(weight[pixel]), f64::from(slopes[[0, pixel]]));
        if !(weight > 0.0 && weight.is_finite() && predicted.is_finite()) {
            continue;
        }
        let along = weight * MAGNITUDE * predicted;
        products.score[group] += along * (f64::from(flux[pixel]) - predicted);
        products.plain[packed(group, group)] += along * MAGNITUDE * predicted;
        for p in 0..k {
            products.crossed[group * k + p] += along * f64::from(slopes[[1 + p, pixel]]);
        }
    }
    products
}

/// Columns of the velocity of a broadening, whose square was fitted: the velocity, its error, the velocity
/// below which it is with 95 %, and whether it is none.
///
/// The square's error is that of a linear parameter, the velocity's is not: half of what lies between the
/// roots of the square one error above and below, these being zero at least.
fn velocities(of: Velocity, squares: &[f64], errors: &[f64]) -> Vec<Column> {
    let Velocity { name, description, ucd } = of;
    let root = |i: usize, errors_away: f64| (squares[i] + errors_away * errors[i]).max(0.0).sqrt();
    // NaN of stars without a fit stays NaN.
    let each = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..squares.len()).map(|i| if (squares[i] + errors[i]).is_finite() { value(i) } else { f64::NAN }).collect()
    };
    let column = |suffix: &str, description: String, ucd: &str, values: Vec<f64>| {
        Column::nullable(ColumnSchema::new(format!("{name}{suffix}"), "km.s**-1", description).with_ucd(ucd), values)
    };
    let values = squares.iter().map(|square| if square.is_nan() { f64::NAN } else { square.max(0.0).sqrt() }).collect();
    let is_none = squares.iter().map(|square| i32::from(*square <= 0.0)).collect();
    let is_fitted: Vec<bool> = squares.iter().map(|square| !square.is_nan()).collect();
    vec![
        column("", format!("{description}, the root of {name}_squared"), ucd, values),
        column(
            "_error",
            format!("half of the distance between the roots of {name}_squared plus and minus its error (zero at least)"),
            &format!("stat.error;{ucd}"),
            each(&|i| 0.5 * (root(i, 1.0) - root(i, -1.0))),
        ),
        column(
            "_upper",
            format!("root of {name}_squared plus {ONE_SIDED} of its errors: {description} is less, with 95 %"),
            &format!("{ucd};stat.max"),
            each(&|i| root(i, ONE_SIDED)),
        ),
        Column {
            valid: is_fitted.contains(&false).then_some(is_fitted),
            ..Column::scalar(
                ColumnSchema::new(
                    format!("{name}_at_zero"),
                    "",
                    "1 where the fit ended at the bound of zero, no broadening; 0 elsewhere; null where nothing was fitted",
                )
                .with_ucd("meta.code"),
                Values::Int32(is_none),
            )
        },
    ]
}

/// Whether a label that is `beyond` the range of the training, in parts of its width, is outside for all that
/// its error allows; one without an error always is.
fn is_beyond(beyond: f64, error: f64, is_at_bound: bool) -> bool {
    let is_within_errors = beyond <= RANGE_ERRORS * error && !is_at_bound;
    beyond > RANGE_TOLERANCE && !is_within_errors
}

fn mark(bits: i32) -> Mark {
    Mark {
        is_fitted: bits & flags::NOT_FITTED == 0,
        is_poor: bits & flags::POOR_FIT != 0,
        is_outside: bits & (flags::OUTSIDE_TRAINING_RANGE | flags::UNLIKELY_LABELS) != 0,
        is_in_cut: bits < flags::BASIC_CUT,
    }
}

/// What χ² of the fit of a spectrum is judged by.
pub(super) fn fitted(fits: &SpectrumFits, star: usize) -> Fitted {
    let (chi_square, n_pixels) = (fits.chi_square[star], fits.n_pixels[star]);
    Fitted { chi_square, n_pixels, n_parameters: fits.covariance.dim().1 }
}

/// Inverse variances `[N, W]` of observations: 0 for missing pixels.
pub(super) fn inverse_variance(observations: &Observations) -> Array2<f32> {
    observations.flux_error.mapv(|error| if error.is_finite() { 1.0 / (error * error) } else { 0.0 })
}

/// Signal-to-noise ratios of a pixel: the median of flux over error of the good pixels, as `prepare` writes
/// it, whatever the level of the flux.
pub(super) fn signal_to_noise(observations: &Observations) -> Vec<f64> {
    let of = |(flux, errors): (ArrayView1<f32>, ArrayView1<f32>)| {
        let good = flux.iter().zip(errors).filter(|(flux, error)| flux.is_finite() && error.is_finite());
        median(&good.map(|(flux, error)| f64::from(*flux) / f64::from(*error)).collect::<Vec<f64>>())
    };
    observations.flux.outer_iter().zip(observations.flux_error.outer_iter()).map(of).collect()
}

/// How fits of a model alone read observations.
fn read_options(core: &SpectralCore) -> ReadOptions {
    let unit = &core.card.flux_unit;
    // Flux over a continuum is a pure number.
    ReadOptions { flux_unit: Some(if unit.is_empty() { PURE_NUMBER.into() } else { unit.clone() }), ..ReadOptions::default() }
}

impl Estimator for SpectralEstimator {
    fn read_options(&self) -> ReadOptions {
        let mut options = read_options(&self.core);
        self.guide.iter().for_each(|guide| guide.guide.add_to(&mut options));
        options
    }

    fn choices(&self) -> Result<String> {
        let options =
            toml::to_string(&self.options).map_err(|error| Error::usage("fit options").found(error.to_string()).source(error))?;
        Ok(match &self.guide {
            Some(guide) => format!("# start_from = \"{}\"\n{options}", guide.guide.sha256()),
            None => options,
        })
    }

    fn estimate(&self, observations: &Observations, reached: Reached<'_>) -> Result<Estimated> {
        reached(FitStage::Begun)?;
        self.core.card.grid.require_same_pixels(&observations.grid)?;
        if observations.whitening.block > 0 {
            warn_once(format!(
                "column '{}': models of spectra take the errors of pixels for independent, and leave the covariance out (errors of \
                 labels are too small where pixels are correlated)",
                columns::COVARIANCE
            ));
        }
        if let Some(fault) = fault_of_line_spread(observations, 0..observations.len(), self.core.card.resolution) {
            warn_once(format!(
                "model {}: {fault}, the resolution of its training: labels follow the width of lines. Take a model of that resolution, smooth \
                 sharper spectra to it, or let broader ones be fitted (`broadening = true` in the options of the fit)",
                self.core.id()
            ));
        }
        let mut weight = inverse_variance(observations);
        self.without_model(weight.ncols()).for_each(|pixel| weight.column_mut(pixel).fill(0.0));
        let starts = match &self.guide {
            Some(guide) => {
                let starts = guide.starts(observations)?;
                reached(FitStage::Start)?;
                Some(starts)
            }
            None => None,
        };
        let (flux, weights) = (observations.flux.view(), weight.view());
        let fits = match (&self.on_device, &starts) {
            (Some(on_device), _) => on_device.fit(flux, weights, starts.as_ref().map(Array2::view), &self.fitter)?,
            (None, Some(starts)) => self.fitter.fit_from(flux, weights, starts.view())?,
            (None, None) => self.fitter.fit(flux, weights)?,
        };
        reached(FitStage::Optimum { n_evaluations: fits.n_iterations.iter().map(|n| *n as u64 + 1).sum() })?;
        let mut residuals = self.residuals(observations, weight.view(), &fits);
        let mut estimated = self.describe(observations, fits)?;
        for (star, bits) in estimated.flags.iter().enumerate() {
            residuals.marks[star] = mark(*bits);
        }
        estimated.residuals = Some(residuals);
        reached(FitStage::Description)?;
        Ok(estimated)
    }

    fn flux(&self, values: ArrayView2<'_, f64>) -> Result<Option<Array2<f64>>> {
        let mut flux = self.fitter.flux(values)?.mapv(f64::from);
        self.without_model(flux.ncols()).for_each(|pixel| flux.column_mut(pixel).fill(f64::NAN));
        Ok(Some(flux))
    }
}

impl SpectralEstimator {
    /// Residuals of blocks of pixels; those of spectra without an optimum take no part.
    fn residuals(&self, observations: &Observations, weight: ArrayView2<'_, f32>, fits: &SpectrumFits) -> Responses {
        let n = fits.labels.nrows();
        let n_parameters = fits.covariance.dim().1;
        let mut responses = Responses::none(n, &self.groups, &[]);
        let products: Vec<Option<Products>> = (0..n)
            .into_par_iter()
            .map(|i| {
                let takes_part = fits.endings[i] == Ending::Converged && !fits.at_bound[i];
                let covariance = fits.covariance.index_axis(Axis(0), i);
                if !takes_part || covariance.iter().any(|value| !value.is_finite()) {
                    return None;
                }
                let values: Vec<f64> = fits.labels.row(i).iter().chain(fits.nuisances.row(i)).copied().collect();
                let slopes = self.fitter.flux_slopes(&values).ok()?;
                Some(products(&self.groups, observations.flux.row(i), weight.row(i), slopes.view()))
            })
            .collect();
        for (i, products) in products.iter().enumerate() {
            responses.chi_square[i] = fits.chi_square[i];
            responses.degrees[i] = fits.n_pixels[i] as f64 - n_parameters as f64;
            if let Some(products) = products {
                let covariance: Vec<f64> = fits.covariance.index_axis(Axis(0), i).iter().copied().collect();
                responses.put(i, products, &covariance);
            }
        }
        responses
    }

    /// Pixels of `n` that were not trained, and those around them that a shifted spectrum takes from them.
    fn without_model(&self, n: usize) -> impl Iterator<Item = usize> + '_ {
        let reach = self.fitter.reach();
        let untrained = self.core.card.untrained.iter();
        untrained.flat_map(move |&pixel| pixel.saturating_sub(reach)..(pixel + reach + 1).min(n))
    }

    fn describe(&self, observations: &Observations, fits: SpectrumFits) -> Result<Estimated> {
        let space = self.core.space();
        let (n, l) = fits.labels.dim();
        let ratios = signal_to_noise(observations);
        let quality: Vec<f64> = (0..n).map(|i| self.core.card.goodness.judge(ratios[i], fitted(&fits, i))).collect();
        let scaled = space.scale(fits.labels.view());
        let errors = fits.errors();
        let of_range = Array2::from_shape_fn(errors.dim(), |(i, k)| errors[[i, k]] / space.width(k));
        let is_label_outside = |i: usize, k: usize| is_beyond(scaled[[i, k]].abs() - 0.5, of_range[[i, k]], fits.at_bound[i]);
        let is_far = |i: usize| self.domain.as_ref().is_some_and(|domain| domain.is_outside(scaled.row(i), of_range.row(i)));
        let is_outside = |i: usize| (0..l).any(|k| is_label_outside(i, k));
        let is_poor_fit = |i: usize| match quality[i].is_nan() {
            true => is_poor(fits.chi_square[i], fits.n_pixels[i] as f64 - fits.covariance.dim().1 as f64),
            false => quality[i] >= POOR_FIT_BEYOND,
        };
        // A failed training may have made a model that hardly depends on the labels.
        let is_told = |i: usize| {
            let mut labels = (0..l).zip(space.minimum.iter().zip(&space.maximum));
            labels.all(|(k, (low, high))| errors[[i, k]] < LARGEST_ERROR * (high - low))
        };
        let bits = |i: usize| {
            let input = observations.input_flags[i];
            [
                (input & input_flag::BAD_FLUX != 0, flags::BAD_FLUX),
                (fits.endings[i] == Ending::TooFewPixels, flags::NOT_FITTED),
                (fits.endings[i] == Ending::Unfinished, flags::NOT_CONVERGED),
                (fits.endings[i] == Ending::Converged && !is_told(i), flags::NOT_CONVERGED),
                (is_poor_fit(i), flags::POOR_FIT),
                (is_far(i), flags::UNLIKELY_LABELS),
                (is_outside(i), flags::OUTSIDE_TRAINING_RANGE),
                (fits.at_bound[i], flags::AT_LIMIT),
            ]
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .fold(0, |bits, (_, bit)| bits | bit)
        };
        let describe =
            |k: usize| (space.names[k].clone(), space.units[k].clone(), Facts::of(&canonical_name(&space.names[k])).description);
        let others = self.fitter.nuisances();
        let squared = others.iter().enumerate().find_map(|(at, other)| {
            let errors: Vec<f64> = (0..n).map(|i| fits.covariance[[i, l + at, l + at]].sqrt()).collect();
            Some(velocities(other.square_of?, &fits.nuisances.column(at).to_vec(), &errors))
        });
        let others = others.into_iter().map(|other| (other.name, other.unit, other.description));
        let parameters: Vec<(String, String, String)> = (0..l).map(describe).chain(others).collect();
        let values = ndarray::concatenate(Axis(1), &[fits.labels.view(), fits.nuisances.view()])
            .map_err(|error| Error::data("fitted parameters").found(error.to_string()).source(error))?;
        let n_parameters = parameters.len();
        let flags: Vec<i32> = (0..n).map(bits).collect();
        let estimates = Estimates {
            ids: observations.ids.clone(),
            parameters,
            fitted: (0..n_parameters).collect(),
            values,
            covariance: fits.covariance,
            flags,
        };
        let scalar = |name: &str, description: &str, ucd: &str, values: Vec<f64>| {
            Column::nullable(ColumnSchema::new(name, "", description).with_ucd(ucd), values)
        };
        let count = |name: &str, description: &str, ucd: &str, values: Vec<i32>| {
            Column::scalar(ColumnSchema::new(name, "", description).with_ucd(ucd), Values::Int32(values))
        };
        let n_flux: Vec<i32> = fits.n_pixels.iter().map(|n| *n as i32).collect();
        let is_fitted = |i: &usize| fits.endings[*i] != Ending::TooFewPixels;
        let degrees = |i: usize| Some(i).filter(is_fitted).map_or(f64::NAN, |i| fits.n_pixels[i] as f64 - n_parameters as f64);
        let degrees: Vec<f64> = (0..n).map(degrees).collect();
        let against =
            "(chi2/n_flux - median)/MAD, of good spectra of the same signal-to-noise ratio (null: the model knows none)";
        let columns = CatalogueColumns {
            diagnostics: vec![
                scalar("chi2", "chi-square of the flux", "stat.fit.chi2", fits.chi_square),
                scalar(
                    "n_dof",
                    "degrees of freedom of chi2: n_flux less the number of fitted parameters",
                    "stat.fit.dof",
                    degrees,
                ),
                count("n_flux", "fluxes with a finite error", "meta.number", n_flux),
                scalar("qflag_chi2", against, "stat.value", quality),
                scalar("snr", "median of flux over error of the good pixels", "stat.snr", ratios),
            ]
            .into_iter()
            .chain(squared.into_iter().flatten())
            .collect(),
            after_flags: vec![count(
                "n_iterations",
                "iterations of the optimiser",
                "meta.number",
                fits.n_iterations.iter().map(|n| *n as i32).collect(),
            )],
            errors: "Cramer-Rao bound of the model's own gradients".into(),
            covariances: "the labels, by the errors of the fluxes alone".into(),
            flags: description(&FLAGS),
            ..CatalogueColumns::default()
        };
        let table = estimates.to_table(columns, self.core.id())?;
        Ok(Estimated { table, flags: estimates.flags, values: estimates.values, residuals: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_bit() {
        let page = include_str!("../../docs/src/payne.md");
        crate::catalogue::flags::tests::check(&FLAGS, page, |flag| format!("| {} | {} | ", flag.bit(), flag.value));
        assert!(FLAGS[0].text.contains(&format!("{POOR_FIT_BEYOND} or more")));
    }

    /// Of stars within the range whose fifteen labels have errors of a tenth of it, half are beyond it in
    /// one; few by more than these errors.
    #[test]
    fn labels_are_outside_by_more_than_their_errors() {
        assert!(!is_beyond(-0.1, 0.1, false) && !is_beyond(1e-7, 0.0, false) && !is_beyond(0.2, 0.1, false));
        assert!(is_beyond(0.2, 0.05, false) && is_beyond(0.2, 0.1, true) && is_beyond(0.01, f64::NAN, false));
        assert!(is_beyond(0.3, 0.0, false) && !is_beyond(-0.1, f64::NAN, true));
    }
}
