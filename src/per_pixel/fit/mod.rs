//! All labels of a spectrum from all its pixels: Levenberg–Marquardt within bounds, for groups of spectra, so
//! that a network's weights are read once for all of them. A spectrum's path depends on its own numbers
//! alone.
//!
//! | file | concept |
//! |---|---|
//! | `options` | choices |
//! | `search` | the search of one spectrum, its steps within bounds |
//! | `evaluation` | χ², Fisher matrices and gradients of a group of spectra |
//! | `nuisances` | what is fitted with the labels: broadening, velocity, continuum |
//! | `windows` | labels that are measured from some pixels only |
//! | `starts` | where a search begins |
//! | `velocity_starts` | velocities among which a fit begins |
//! | `broadening`, `interpolation` | profiles of any width on pixels; values between pixels |

mod broadening;
#[cfg(test)]
mod broadening_tests;
mod evaluation;
mod interpolation;
#[cfg(test)]
mod nuisance_tests;
mod nuisances;
mod options;
mod search;
#[cfg(test)]
mod stall_tests;
mod starts;
mod velocity_starts;
mod windows;
#[cfg(test)]
mod windows_tests;

pub use nuisances::{Nuisance, Velocity, is_beside_labels};
pub use options::{SpectrumEngine, SpectrumFitOptions};

use super::engine::PixelModel;
use super::engine::whole_blocks;
use super::strip_rows::halves_mut;
use crate::error::{Error, Result};
use crate::tensor::cholesky::Factor;
use crate::tensor::row_products::{Strip, WIDTH, strips};
use evaluation::Work;
use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use nuisances::Nuisances;
use rayon::prelude::*;
use search::{Evaluated, Prior, Search, bounded_step};
use std::sync::Arc;
use velocity_starts::VelocityStarts;
use windows::{Windows, extended, name_outside};

/// Spectra that are fitted together.
const GROUP: usize = 16;
/// Damping beyond which no step is sought any more.
const LARGEST_DAMPING: f64 = 1e10;
const FIRST_DAMPING: f64 = 1e-3;
/// Part of χ² that is lost in the rounding of its terms: where a step promises less, that it does not hold
/// what it promises says nothing; nor where it promises no more than [`NOTHING`], one error: at a kink the
/// optimum itself promises something.
const ROUNDING: f64 = 1e-5;
const NOTHING: f64 = 1.0;
/// The next most similar templates at which a search that stalls begins again.
const OTHERS: usize = 3;
/// A label is never known better than this part of its range: sums would lose all else.
pub(super) const SMALLEST_ERROR: f64 = 1e-6;
/// Part of the width between bounds by which values may be beyond them, of rounding.
const ROUNDING_OF_BOUNDS: f64 = 1e-9;
/// Scaled labels this near to a bound are at it.
const AT_BOUND: f64 = 1e-9;

/// How the search of a spectrum ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At an optimum.
    Converged,
    /// Without one, after the most iterations.
    Unfinished,
    /// There were too few pixels.
    TooFewPixels,
}

/// Labels of N spectra.
#[derive(Debug, Clone)]
pub struct SpectrumFits {
    /// `[N, L]`, in the labels' units; NaN where a spectrum has too few pixels, and of a label without a good
    /// pixel in its windows.
    pub labels: Array2<f64>,
    /// What is fitted beside the labels `[N, E]` ([`SpectrumFitter::nuisances`]): values of labels outside of
    /// their windows first.
    pub nuisances: Array2<f64>,
    /// Inverse of the Fisher matrix of labels and nuisances `[N, L + E, L + E]`, whose diagonal is the
    /// Cramér–Rao bound; NaN where it is singular.
    pub covariance: Array3<f64>,
    pub chi_square: Vec<f64>,
    pub n_pixels: Vec<usize>,
    pub n_iterations: Vec<usize>,
    pub endings: Vec<Ending>,
    /// Whether a label, or another parameter, ended at a bound (a broadening of zero is none).
    pub at_bound: Vec<bool>,
}

impl SpectrumFits {
    /// Cramér–Rao bounds of the labels `[N, L]`, in their units; NaN as in the covariance.
    pub fn errors(&self) -> Array2<f64> {
        Array2::from_shape_fn(self.labels.dim(), |(i, k)| self.covariance[[i, k, k]].sqrt())
    }
}

/// Fits spectra with a model.
pub struct SpectrumFitter {
    /// Where labels have windows, in these labels and in their values outside.
    model: Arc<dyn PixelModel>,
    /// Number of labels L.
    n_labels: usize,
    windows: Option<Windows>,
    /// Labels with another value outside of their windows.
    outside: Vec<usize>,
    options: SpectrumFitOptions,
    /// Scaled labels of spectra among which a fit begins with the most similar `[T, L]`, and their fluxes
    /// `[T][strips]`.
    templates: Array2<f64>,
    fluxes: Vec<Vec<Strip>>,
    nuisances: Nuisances,
    velocities: Option<VelocityStarts>,
    /// Of labels and nuisances as they are scaled `[L + E]`.
    limits: Vec<f64>,
}

impl SpectrumFitter {
    /// With `templates [T, L]`, labels (in their units) of stars as they occur, from the most similar of
    /// which a fit begins.
    ///
    /// # Errors
    /// When an option is impossible, or the templates are none or of other labels.
    pub fn new(model: Arc<dyn PixelModel>, templates: ArrayView2<f64>, options: SpectrumFitOptions) -> Result<Self> {
        options.validate()?;
        let space = model.space();
        super::labels::check_columns("templates", space.len(), templates)?;
        if templates.nrows() == 0 {
            return Err(Error::model("templates").found("none").expected("labels of at least one star"));
        }
        let n_labels = space.len();
        let flux = super::engine::emulate(model.as_ref(), templates);
        let fluxes = flux.outer_iter().map(|row| to_strips(row.len(), |i| row[i])).collect();
        let nuisances = Nuisances::new(&options, model.wavelength(), model.n_pixels())?;
        let windows = Windows::new(&options.windows_of, model.as_ref(), templates, nuisances.reach())?;
        let outside: Vec<usize> = windows.iter().flat_map(Windows::outside).collect();
        let templates = extended(space.scale(templates).view(), &outside);
        let model = windows.as_ref().map_or_else(|| model.clone(), |windows| windows.model(model.clone()));
        let n_values = model.space().len();
        let limits = (0..n_values).map(|_| 0.5 + options.margin).chain((0..nuisances.len()).map(|_| 1.0)).collect();
        let velocities = nuisances.velocity_starts();
        Ok(Self { model, n_labels, windows, outside, options, templates, fluxes, nuisances, velocities, limits })
    }

    /// Names and units of what is fitted beside the labels: labels as they are outside of their windows, and
    /// broadening, velocity and continuum.
    pub fn nuisances(&self) -> Vec<Nuisance> {
        let space = self.model.space();
        let outside = self.outside.iter().map(|&k| Nuisance {
            name: name_outside(&space.names[k]),
            unit: space.units[k].clone(),
            description: format!("{} as the pixels outside of its windows have it", space.names[k]),
            square_of: None,
            option: "windows_of",
            largest: Some("margin"),
        });
        outside.chain(self.nuisances.names()).collect()
    }

    /// Values where the search has 0, and how much it has as 1, of what is fitted beside the labels, in its
    /// units `[E]`.
    fn scales(&self) -> Vec<[f64; 2]> {
        let space = self.model.space();
        let middle = |k: usize| space.minimum[k] + 0.5 * space.width(k);
        let outside = self.outside.iter().map(|&k| [middle(k), space.width(k)]);
        outside.chain(self.nuisances.scales()).collect()
    }

    /// How many pixels around one without a model take no part in fits.
    pub fn reach(&self) -> usize {
        self.nuisances.reach()
    }

    /// Fluxes `[N, W]` at labels and nuisances `[N, L + E]`, in their units; NaN where there is none, and of
    /// stars with a nuisance that is NaN.
    ///
    /// # Errors
    /// When there are other numbers of values, or a nuisance is beyond the bounds of fits: a broadening or a
    /// velocity larger than the options' largest reach pixels that were kept for no such.
    pub fn flux(&self, values: ArrayView2<f64>) -> Result<Array2<f32>> {
        self.check_values("values", values)?;
        let (labels, others) = values.split_at(Axis(1), self.model.space().len());
        let flux = super::engine::emulate(self.model.as_ref(), labels);
        Ok(match self.nuisances.len() {
            0 => flux,
            _ => self.nuisances.fluxes(flux.view(), others),
        })
    }

    /// That values are of labels and nuisances, and nuisances within their bounds or NaN.
    fn check_values(&self, place: &str, values: ArrayView2<f64>) -> Result<()> {
        let (l, e) = (self.n_labels, self.limits.len() - self.n_labels);
        if values.ncols() != l + e {
            return Err(Error::data(place)
                .found(format!("{} columns", values.ncols()))
                .expected(format!("{}, of {l} labels and {e} other parameters of the fit", l + e)));
        }
        let bounds = self.scales().into_iter().zip(&self.limits[l..]);
        let bounds = bounds.map(|([centre, width], limit)| [centre - limit * width, centre + limit * width]);
        for (k, ([low, high], nuisance)) in bounds.zip(self.nuisances()).enumerate() {
            let tolerance = ROUNDING_OF_BOUNDS * (high - low);
            let is_beyond = |value: &&f64| **value < low - tolerance || **value > high + tolerance;
            if let Some(value) = values.column(l + k).iter().find(is_beyond) {
                return Err(Error::data(format!("{place}, {}", nuisance.name))
                    .found(format!("{value} {}", nuisance.unit).trim_end())
                    .expected(format!("{low} to {high}, the bounds of the fit"))
                    .remedy(nuisance.widened()));
            }
        }
        Ok(())
    }

    /// Flux (row 0) and its derivatives by labels and nuisances `[1 + L + E, W]` of one spectrum with these
    /// values `[L + E]`, all in their units.
    ///
    /// # Errors
    /// As [`Self::flux`]; when a nuisance is NaN.
    pub fn flux_slopes(&self, values: &[f64]) -> Result<Array2<f32>> {
        let (space, w) = (self.model.space(), self.model.n_pixels());
        self.check_values("values", ndarray::aview1(values).insert_axis(ndarray::Axis(0)))?;
        if let Some(k) = values.iter().skip(self.n_labels).position(|value| value.is_nan()) {
            let name = &self.nuisances()[k].name;
            return Err(Error::data(format!("values, {name}")).found("NaN").expected("a number"));
        }
        let (labels, others) = values.split_at(space.len());
        let scaled: Vec<f32> =
            labels.iter().enumerate().map(|(k, value)| ((value - space.minimum[k]) / space.width(k) - 0.5) as f32).collect();
        let n_strips = strips(w);
        let mut rows = vec![Strip::default(); (1 + space.len()) * n_strips];
        self.model.evaluate(0..whole_blocks(w), &self.model.shared(&scaled, true), true, halves_mut(&mut rows));
        if self.nuisances.len() > 0 {
            let mut observed = Vec::new();
            self.nuisances.apply(&mut rows, &self.nuisances.scaled(others.iter().copied()), &mut observed);
            rows = observed;
        }
        let widths = (0..space.len()).map(|k| space.width(k)).chain(self.nuisances.scales().into_iter().map(|[_, width]| width));
        let per_unit: Vec<f32> = std::iter::once(1.0).chain(widths).map(|width| (1.0 / width) as f32).collect();
        let at = |(row, i): (usize, usize)| rows[row * n_strips + i / WIDTH].0[i % WIDTH] * per_unit[row];
        Ok(Array2::from_shape_fn((1 + values.len(), w), at))
    }

    /// Fits `flux [N, W]` with `inverse_variance [N, W]` (0, or anything that is not a positive number, for a
    /// missing pixel), on the threads of the current rayon pool.
    ///
    /// # Errors
    /// When the shapes are not those of the model.
    pub fn fit(&self, flux: ArrayView2<f32>, inverse_variance: ArrayView2<f32>) -> Result<SpectrumFits> {
        self.fit_all(flux, inverse_variance, None, None)
    }

    /// The same with fits that begin at labels `starts [N, L]` (in their units); where one is not finite, at
    /// the most similar template.
    ///
    /// # Errors
    /// As [`Self::fit`]; when there are other numbers of starts or labels.
    pub fn fit_from(
        &self,
        flux: ArrayView2<f32>,
        inverse_variance: ArrayView2<f32>,
        starts: ArrayView2<f64>,
    ) -> Result<SpectrumFits> {
        if starts.dim() != (flux.nrows(), self.n_labels) {
            return Err(Error::data("starts of fits").found(format!("{:?}", starts.dim())).expected(format!(
                "{} labels of {} spectra",
                self.n_labels,
                flux.nrows()
            )));
        }
        let starts = extended(self.model.space().scale(starts).view(), &self.outside);
        self.fit_all(flux, inverse_variance, None, Some(starts))
    }

    /// The same with labels that are known beforehand: `known [N, L]` with 1σ errors `[N, L]` (0: exact;
    /// infinite: a guess), at which the fits begin, of as few pixels as there are. Covariances and χ² are
    /// those with the prior.
    ///
    /// # Errors
    /// As [`Self::fit`]; when labels or errors are no such numbers.
    pub fn fit_near(
        &self,
        flux: ArrayView2<f32>,
        inverse_variance: ArrayView2<f32>,
        known: ArrayView2<f64>,
        errors: ArrayView2<f64>,
    ) -> Result<SpectrumFits> {
        let space = self.model.space();
        super::labels::check_columns("labels that are known", self.n_labels, known)?;
        let is_possible = known.nrows() == flux.nrows() && errors.dim() == known.dim();
        if !is_possible || errors.iter().any(|error| error.is_nan() || *error < 0.0) {
            return Err(Error::data("errors of labels that are known")
                .found(format!("{:?} of {:?} labels of {} spectra", errors.dim(), known.dim(), flux.nrows()))
                .expected("as many of all, and no negative errors"));
        }
        let weight = |(_, k): (usize, usize), error: f64| (error / space.width(k)).max(SMALLEST_ERROR).powi(-2);
        // Of a label with windows they say what it is within them.
        let weights = Array2::from_shape_fn((known.nrows(), space.len()), |(i, k)| match k < self.n_labels {
            true => weight((i, k), errors[[i, k]]),
            false => 0.0,
        });
        self.fit_all(flux, inverse_variance, Some((extended(space.scale(known).view(), &self.outside), weights)), None)
    }

    fn fit_all(
        &self,
        flux: ArrayView2<f32>,
        inverse_variance: ArrayView2<f32>,
        known: Option<(Array2<f64>, Array2<f64>)>,
        starts: Option<Array2<f64>>,
    ) -> Result<SpectrumFits> {
        let (n, w) = (flux.nrows(), self.model.n_pixels());
        if flux.ncols() != w || inverse_variance.dim() != flux.dim() {
            return Err(Error::data("spectra to be fitted")
                .found(format!("fluxes {:?}, inverse variances {:?}", flux.dim(), inverse_variance.dim()))
                .expected(format!("{w} pixels, those of the model, in both")));
        }
        let groups: Vec<usize> = (0..n).step_by(GROUP).collect();
        let parts: Vec<Vec<Search>> = groups
            .into_par_iter()
            .map(|first| {
                let rows = s![first..(first + GROUP).min(n), ..];
                let prior = |i: usize| {
                    let (centre, weight) = known.as_ref()?;
                    Some(Prior { centre: centre.row(first + i).to_vec(), weight: weight.row(first + i).to_vec() })
                };
                let start = |i: usize| {
                    let start = starts.as_ref()?.row(first + i).to_vec();
                    start.iter().all(|value| value.is_finite()).then_some(start)
                };
                self.fit_group(flux.slice(rows), inverse_variance.slice(rows), &prior, &start)
            })
            .collect();
        Ok(self.collect(&parts.into_iter().flatten().collect::<Vec<_>>()))
    }

    fn fit_group(
        &self,
        flux: ArrayView2<f32>,
        inverse_variance: ArrayView2<f32>,
        prior: &dyn Fn(usize) -> Option<Prior>,
        start: &dyn Fn(usize) -> Option<Vec<f64>>,
    ) -> Vec<Search> {
        let rows = flux.outer_iter().zip(inverse_variance.outer_iter()).enumerate();
        let mut searches: Vec<Search> = rows.map(|(i, (flux, weight))| self.begin(flux, weight, prior(i), start(i))).collect();
        let mut work = Work::new(self.model.space().len(), self.limits.len());
        self.search(&mut searches, &mut work);
        self.again_elsewhere(&mut searches, &mut work);
        searches
    }

    /// Searches from where they are until all have ended.
    fn search(&self, searches: &mut [Search], work: &mut Work) {
        let model = self.model.as_ref();
        let first: Vec<usize> = (0..searches.len()).filter(|&i| searches[i].ending.is_none()).collect();
        for (i, found) in first.iter().zip(work.evaluate(model, &self.nuisances, searches, &first)) {
            searches[*i].take(found);
        }
        loop {
            let active: Vec<usize> = (0..searches.len()).filter(|&i| searches[i].ending.is_none()).collect();
            let moving: Vec<usize> = active.into_iter().filter(|&i| self.propose(&mut searches[i], &mut work.factors)).collect();
            if moving.is_empty() {
                return;
            }
            let evaluated = work.evaluate(model, &self.nuisances, searches, &moving);
            for (i, found) in moving.iter().zip(evaluated) {
                self.judge(&mut searches[*i], found);
            }
        }
    }

    /// Searches that stalled begin again at the next templates; the best of a spectrum stays.
    fn again_elsewhere(&self, searches: &mut [Search], work: &mut Work) {
        for attempt in 0..OTHERS {
            let stalled: Vec<usize> = (0..searches.len()).filter(|&i| searches[i].is_stalled).collect();
            let (which, mut anew): (Vec<usize>, Vec<Search>) = stalled
                .into_iter()
                .filter_map(|i| Some((i, searches[i].again(searches[i].others.get(attempt)?.clone()))))
                .unzip();
            if anew.is_empty() {
                return;
            }
            self.search(&mut anew, work);
            for (i, mut anew) in which.into_iter().zip(anew) {
                let before = &mut searches[i];
                let n_iterations = before.n_iterations + anew.n_iterations;
                if anew.chi_square < before.chi_square {
                    anew.others = std::mem::take(&mut before.others);
                    *before = anew;
                }
                before.n_iterations = n_iterations;
            }
        }
    }

    /// Sets the next trial; false, with the search ended, where there is none.
    fn propose(&self, search: &mut Search, factors: &mut [Option<Factor>]) -> bool {
        let limits = &self.limits;
        while search.damping < LARGEST_DAMPING {
            // Parameters at a bound that are pushed against it are held.
            let free = self.free(search);
            if free.is_empty() {
                search.ending = Some(Ending::Converged);
                return false;
            }
            search.trial.clone_from(&search.scaled);
            if bounded_step(search, free, limits, factors) {
                search.predicted = search.promise();
                if search.predicted.abs() < self.options.tolerance && search.damping <= FIRST_DAMPING {
                    search.ending = Some(Ending::Converged);
                    return false;
                }
                if search.predicted > 0.0 {
                    if search.n_iterations >= self.options.iterations {
                        search.ending = Some(Ending::Unfinished);
                        return false;
                    }
                    search.n_iterations += 1;
                    return true;
                }
            }
            search.refuse();
        }
        // The step of this damping promises nothing. Where an undamped one does, there is no optimum that the
        // gradients know of, but a kink, or gradients that are not those of the flux.
        search.damping = 0.0;
        search.trial.clone_from(&search.scaled);
        let promise = match bounded_step(search, self.free(search), limits, factors) {
            true => search.promise(),
            false => f64::INFINITY,
        };
        search.is_stalled = promise.is_nan() || promise > self.options.tolerance.max(NOTHING).max(ROUNDING * search.chi_square);
        search.ending = Some(if search.is_stalled { Ending::Unfinished } else { Ending::Converged });
        false
    }

    /// The parameters that are not pushed against the bound at which they are.
    fn free(&self, search: &Search) -> Vec<usize> {
        let is_free = |k: usize| {
            let (x, slope, limit) = (search.scaled[k], search.gradient[k], self.limits[k]);
            !((x >= limit - AT_BOUND && slope < 0.0) || (x <= AT_BOUND - limit && slope > 0.0))
        };
        (0..search.scaled.len()).filter(|&k| is_free(k)).collect()
    }

    /// Takes the trial where it is better.
    fn judge(&self, search: &mut Search, found: Evaluated) {
        let gain = (search.chi_square - found.chi_square) / search.predicted;
        if gain > 0.0 {
            search.scaled.clone_from(&search.trial);
            search.damping = (search.damping * (1.0 - (2.0 * gain - 1.0).powi(3)).max(0.1)).max(1e-10);
            search.growth = 2.0;
            search.take(found);
        } else {
            search.refuse();
        }
    }

    fn collect(&self, searches: &[Search]) -> SpectrumFits {
        let space = self.model.space();
        let (n, l, k) = (searches.len(), self.n_labels, self.limits.len());
        let n_values = space.len();
        let scales = self.scales();
        // What pixels outside of windows say of a label may be anything.
        let is_free = |j: usize, x: f64| (l..n_values).contains(&j) || j >= n_values && self.nuisances.is_none(j - n_values, x);
        let is_at_bound = |search: &Search| {
            let mut values = search.scaled.iter().zip(&self.limits).enumerate();
            values.any(|(j, (x, limit))| x.abs() >= limit - AT_BOUND && !is_free(j, *x))
        };
        // A parameter's unit over that in which it is scaled.
        let width = |j: usize| if j < l { space.width(j) } else { scales[j - l][1] };
        let mut fits = SpectrumFits {
            labels: Array2::from_elem((n, l), f64::NAN),
            nuisances: Array2::from_elem((n, k - l), f64::NAN),
            covariance: Array3::from_elem((n, k, k), f64::NAN),
            chi_square: searches.iter().map(|search| search.chi_square).collect(),
            n_pixels: searches.iter().map(|search| search.n_pixels).collect(),
            n_iterations: searches.iter().map(|search| search.n_iterations).collect(),
            endings: searches.iter().map(|search| search.ending.unwrap_or(Ending::Unfinished)).collect(),
            at_bound: searches.iter().map(is_at_bound).collect(),
        };
        let mut factor = Factor::new(k);
        for (i, search) in searches.iter().enumerate() {
            if search.ending == Some(Ending::TooFewPixels) {
                (fits.chi_square[i], fits.at_bound[i]) = (f64::NAN, false);
                continue;
            }
            for j in 0..l {
                fits.labels[[i, j]] = (search.scaled[j] + 0.5) * space.width(j) + space.minimum[j];
            }
            for j in l..k {
                fits.nuisances[[i, j - l]] = scales[j - l][0] + search.scaled[j] * width(j);
            }
            if !factor.decompose(&search.matrix, &vec![0.0; k]) {
                continue;
            }
            for first in 0..k {
                let mut column = vec![0.0; k];
                column[first] = 1.0;
                factor.solve(&mut column);
                for (j, value) in column.into_iter().enumerate() {
                    fits.covariance[[i, j, first]] = value * width(j) * width(first);
                }
            }
            for k in self.windows.iter().flat_map(|windows| windows.unmeasured(&search.weight)) {
                fits.labels[[i, k]] = f64::NAN;
                fits.covariance.slice_mut(s![i, k, ..]).fill(f64::NAN);
                fits.covariance.slice_mut(s![i, .., k]).fill(f64::NAN);
            }
        }
        fits
    }
}

fn to_strips(n: usize, value: impl Fn(usize) -> f32) -> Vec<Strip> {
    let at = |i: usize| if i < n { value(i) } else { 0.0 };
    (0..strips(n)).map(|s| Strip(std::array::from_fn(|lane| at(s * WIDTH + lane)))).collect()
}
