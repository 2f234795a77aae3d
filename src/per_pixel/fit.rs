//! All labels of a spectrum from all its pixels: Levenberg–Marquardt within bounds, for groups of spectra, so
//! that a network's weights are read once for all of them. A spectrum's path depends on its own numbers
//! alone.

use super::engine::{CHUNK, PixelModel, whole_blocks};
use super::strip_rows::{halves_mut, multiply, subtract, weighted_squares};
use crate::error::{Error, Result};
use crate::tensor::cholesky::Factor;
use crate::tensor::lanes::LANES;
use crate::tensor::row_products::{LEFT, RIGHT, Strip, Sums, WIDTH, strips};
use ndarray::{Array2, Array3, ArrayView2, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Spectra that are fitted together.
const GROUP: usize = 16;
/// Strips of a chunk of pixels.
const CHUNK_STRIPS: usize = CHUNK * LANES / WIDTH;
/// Damping beyond which no step is sought any more.
const LARGEST_DAMPING: f64 = 1e10;
const FIRST_DAMPING: f64 = 1e-3;
/// Scaled labels this near to a bound are at it.
const AT_BOUND: f64 = 1e-9;

/// How spectra are fitted (TOML; unknown keys are errors).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpectrumFitOptions {
    /// Most iterations.
    pub iterations: usize,
    /// A fit has converged when the next step would lower χ² by less than this.
    pub tolerance: f64,
    /// Labels may leave the range of the training by this part of its width.
    pub margin: f64,
    /// Fewest pixels for a fit, relative to the number of labels.
    pub pixels_per_label: f64,
}

impl Default for SpectrumFitOptions {
    fn default() -> Self {
        Self { iterations: 60, tolerance: 1e-3, margin: 0.3, pixels_per_label: 2.0 }
    }
}

impl SpectrumFitOptions {
    /// Checks every option.
    ///
    /// # Errors
    /// `Usage`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        let fault = |option: &str, found: String, expected: &str| {
            Err(Error::usage(format!("fit option {option}")).found(found).expected(expected))
        };
        if !(1..=100_000).contains(&self.iterations) {
            return fault("iterations", self.iterations.to_string(), "1 to 100000");
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return fault("tolerance", self.tolerance.to_string(), "a number between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.margin) {
            return fault("margin", self.margin.to_string(), "a number from 0 to 1");
        }
        match self.pixels_per_label >= 1.0 && self.pixels_per_label.is_finite() {
            true => Ok(()),
            false => fault("pixels_per_label", self.pixels_per_label.to_string(), "1 or more"),
        }
    }
}

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
    /// `[N, L]`, in the labels' units; NaN where a spectrum has too few pixels.
    pub labels: Array2<f64>,
    /// Inverse of the Fisher matrix `[N, L, L]`, whose diagonal is the Cramér–Rao bound; NaN where it is
    /// singular.
    pub covariance: Array3<f64>,
    pub chi_square: Vec<f64>,
    pub n_pixels: Vec<usize>,
    pub n_iterations: Vec<usize>,
    pub endings: Vec<Ending>,
    /// Whether a label ended at a bound.
    pub at_bound: Vec<bool>,
}

/// Fits spectra with a model.
pub struct SpectrumFitter {
    model: Arc<dyn PixelModel>,
    options: SpectrumFitOptions,
    /// Scaled labels of spectra among which a fit begins with the most similar `[T, L]`, and their fluxes
    /// `[T][strips]`.
    templates: Array2<f64>,
    fluxes: Vec<Vec<Strip>>,
}

/// A spectrum that is being fitted.
struct Search {
    scaled: Vec<f64>,
    flux: Vec<Strip>,
    weight: Vec<Strip>,
    n_pixels: usize,
    chi_square: f64,
    /// At `scaled`: the Fisher matrix, row-major, and half the gradient of χ².
    matrix: Vec<f64>,
    gradient: Vec<f64>,
    trial: Vec<f64>,
    /// Of the last step: how much it was to lower χ².
    predicted: f64,
    damping: f64,
    growth: f64,
    n_iterations: usize,
    ending: Option<Ending>,
}

/// What a model says at the labels of a spectrum.
struct Evaluated {
    chi_square: f64,
    matrix: Vec<f64>,
    gradient: Vec<f64>,
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
        let flux = super::engine::emulate(model.as_ref(), templates);
        let fluxes = flux.outer_iter().map(|row| to_strips(row.len(), |i| row[i])).collect();
        let templates = space.scale(templates);
        Ok(Self { model, options, templates, fluxes })
    }

    /// Fits `flux [N, W]` with `inverse_variance [N, W]` (0, or anything that is not a positive number, for a
    /// missing pixel), on the threads of the current rayon pool.
    ///
    /// # Errors
    /// When the shapes are not those of the model.
    pub fn fit(&self, flux: ArrayView2<f32>, inverse_variance: ArrayView2<f32>) -> Result<SpectrumFits> {
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
                self.fit_group(flux.slice(rows), inverse_variance.slice(rows))
            })
            .collect();
        Ok(self.collect(&parts.into_iter().flatten().collect::<Vec<_>>()))
    }

    fn fit_group(&self, flux: ArrayView2<f32>, inverse_variance: ArrayView2<f32>) -> Vec<Search> {
        let mut searches: Vec<Search> =
            flux.outer_iter().zip(inverse_variance.outer_iter()).map(|(flux, weight)| self.begin(flux, weight)).collect();
        let mut work = Work::new(self.model.space().len());
        let first: Vec<usize> = (0..searches.len()).filter(|&i| searches[i].ending.is_none()).collect();
        for (i, found) in first.iter().zip(self.evaluate(&searches, &first, &mut work)) {
            searches[*i].take(found);
        }
        loop {
            let active: Vec<usize> = (0..searches.len()).filter(|&i| searches[i].ending.is_none()).collect();
            let moving: Vec<usize> = active.into_iter().filter(|&i| self.propose(&mut searches[i], &mut work.factors)).collect();
            if moving.is_empty() {
                return searches;
            }
            let evaluated = self.evaluate(&searches, &moving, &mut work);
            for (i, found) in moving.iter().zip(evaluated) {
                self.judge(&mut searches[*i], found);
            }
        }
    }

    /// The start: the most similar template, by χ².
    fn begin(&self, flux: ndarray::ArrayView1<f32>, inverse_variance: ndarray::ArrayView1<f32>) -> Search {
        let w = self.model.n_pixels();
        let is_good = |i: usize| {
            let weight = inverse_variance[i];
            weight > 0.0 && weight.is_finite() && flux[i].is_finite()
        };
        let weight = to_strips(w, |i| if is_good(i) { inverse_variance[i] } else { 0.0 });
        let flux = to_strips(w, |i| if is_good(i) { flux[i] } else { 0.0 });
        let n_pixels = (0..w).filter(|&i| is_good(i)).count();
        let l = self.templates.ncols();
        let is_enough = n_pixels as f64 >= self.options.pixels_per_label * l as f64;
        let mut difference = vec![Strip::default(); flux.len()];
        let distance = |template: &Vec<Strip>, difference: &mut Vec<Strip>| {
            difference.copy_from_slice(template);
            subtract(difference, &flux);
            weighted_squares(&weight, difference)
        };
        let mut best = (f64::INFINITY, 0);
        for (index, template) in self.fluxes.iter().enumerate().filter(|_| is_enough) {
            let found = distance(template, &mut difference);
            if found < best.0 {
                best = (found, index);
            }
        }
        // Templates at the edge of the range are just within the bounds.
        let scaled: Vec<f64> = self.templates.row(best.1).iter().map(|value| value.clamp(-0.5, 0.5)).collect();
        Search {
            trial: scaled.clone(),
            scaled,
            flux,
            weight,
            n_pixels,
            chi_square: f64::INFINITY,
            matrix: vec![0.0; l * l],
            gradient: vec![0.0; l],
            predicted: f64::INFINITY,
            damping: FIRST_DAMPING,
            growth: 2.0,
            n_iterations: 0,
            ending: (!is_enough).then_some(Ending::TooFewPixels),
        }
    }

    /// χ², Fisher matrix and gradient at the trial labels of some searches.
    fn evaluate(&self, searches: &[Search], which: &[usize], work: &mut Work) -> Vec<Evaluated> {
        let l = self.model.space().len();
        let n_blocks = whole_blocks(self.model.n_pixels());
        let scaled: Vec<f32> = which.iter().flat_map(|&i| searches[i].trial.iter().map(|value| *value as f32)).collect();
        let mut chi_square = vec![0.0; which.len()];
        work.sums.resize_with(GROUP, || Sums::zeros(l + 1, (l + 1).next_multiple_of(RIGHT)));
        work.sums.iter_mut().for_each(Sums::clear);
        for start in (0..n_blocks).step_by(CHUNK) {
            let range = start..(start + CHUNK).min(n_blocks);
            let n = range.len() * LANES / WIDTH;
            let strips = start * LANES / WIDTH..start * LANES / WIDTH + n;
            let out = &mut work.out[..which.len() * (l + 1) * n];
            self.model.evaluate(range, &scaled, true, halves_mut(out));
            for (at, &i) in which.iter().enumerate() {
                let search = &searches[i];
                let (flux, weight) = (&search.flux[strips.clone()], &search.weight[strips.clone()]);
                let out = &mut out[at * (l + 1) * n..(at + 1) * (l + 1) * n];
                subtract(&mut out[..n], flux);
                chi_square[at] += weighted_squares(weight, &out[..n]);
                let right = &mut work.right[..(l + 1).next_multiple_of(RIGHT) * n];
                right[..out.len()].copy_from_slice(out);
                right[out.len()..].fill(Strip::default());
                let left = &mut work.left[..LEFT * n];
                for first in (0..=l).step_by(LEFT) {
                    for (r, row) in left.chunks_exact_mut(n).enumerate() {
                        match first + r <= l {
                            true => multiply(&out[(first + r) * n..(first + r + 1) * n], weight, row),
                            false => row.fill(Strip::default()),
                        }
                    }
                    work.sums[at].add(first, left, right, n);
                }
            }
        }
        let evaluated = |at: usize| {
            let sums = &work.sums[at];
            Evaluated {
                chi_square: chi_square[at],
                matrix: (0..l * l)
                    .map(|index| sums.get(1 + (index / l).min(index % l), 1 + (index / l).max(index % l)))
                    .collect(),
                gradient: (0..l).map(|k| sums.get(0, 1 + k)).collect(),
            }
        };
        (0..which.len()).map(evaluated).collect()
    }

    /// Sets the next trial; false, with the search ended, where there is none.
    fn propose(&self, search: &mut Search, factors: &mut [Option<Factor>]) -> bool {
        let l = search.scaled.len();
        let limit = 0.5 + self.options.margin;
        while search.damping < LARGEST_DAMPING {
            // Labels at a bound that are pushed against it are held.
            let is_free = |k: usize| {
                let (x, slope) = (search.scaled[k], search.gradient[k]);
                !((x >= limit - AT_BOUND && slope < 0.0) || (x <= AT_BOUND - limit && slope > 0.0))
            };
            let free: Vec<usize> = (0..l).filter(|&k| is_free(k)).collect();
            if free.is_empty() {
                search.ending = Some(Ending::Converged);
                return false;
            }
            search.trial.clone_from(&search.scaled);
            if bounded_step(search, free, limit, factors) {
                let moved: Vec<f64> = (0..l).map(|k| search.trial[k] - search.scaled[k]).collect();
                let linear: f64 = moved.iter().zip(&search.gradient).map(|(d, g)| d * g).sum();
                let quadratic: f64 =
                    (0..l).map(|i| moved[i] * (0..l).map(|j| search.matrix[i * l + j] * moved[j]).sum::<f64>()).sum();
                search.predicted = -2.0 * linear - quadratic;
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
        search.ending = Some(match search.predicted.abs() < 1.0 {
            // Rounding of χ² hides what little there is to gain.
            true => Ending::Converged,
            false => Ending::Unfinished,
        });
        false
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
        let (n, l) = (searches.len(), space.len());
        let limit = 0.5 + self.options.margin;
        let mut fits = SpectrumFits {
            labels: Array2::from_elem((n, l), f64::NAN),
            covariance: Array3::from_elem((n, l, l), f64::NAN),
            chi_square: searches.iter().map(|search| search.chi_square).collect(),
            n_pixels: searches.iter().map(|search| search.n_pixels).collect(),
            n_iterations: searches.iter().map(|search| search.n_iterations).collect(),
            endings: searches.iter().map(|search| search.ending.unwrap_or(Ending::Unfinished)).collect(),
            at_bound: searches.iter().map(|search| search.scaled.iter().any(|x| x.abs() >= limit - AT_BOUND)).collect(),
        };
        let mut factor = Factor::new(l);
        for (i, search) in searches.iter().enumerate() {
            if search.ending == Some(Ending::TooFewPixels) {
                (fits.chi_square[i], fits.at_bound[i]) = (f64::NAN, false);
                continue;
            }
            for k in 0..l {
                fits.labels[[i, k]] = (search.scaled[k] + 0.5) * space.width(k) + space.minimum[k];
            }
            if !factor.decompose(&search.matrix, &vec![0.0; l]) {
                continue;
            }
            for k in 0..l {
                let mut column = vec![0.0; l];
                column[k] = 1.0;
                factor.solve(&mut column);
                for (j, value) in column.into_iter().enumerate() {
                    fits.covariance[[i, j, k]] = value * space.width(j) * space.width(k);
                }
            }
        }
        fits
    }
}

/// Work space of a group.
struct Work {
    out: Vec<Strip>,
    left: Vec<Strip>,
    right: Vec<Strip>,
    sums: Vec<Sums>,
    /// For every number of free labels.
    factors: Vec<Option<Factor>>,
}

impl Work {
    fn new(l: usize) -> Self {
        let rows = |n: usize| vec![Strip::default(); n * CHUNK_STRIPS];
        Self {
            out: rows(GROUP * (l + 1)),
            left: rows(LEFT),
            right: rows((l + 1).next_multiple_of(RIGHT)),
            sums: Vec::new(),
            factors: (0..l).map(|_| None).collect(),
        }
    }
}

/// Sets the trial to the minimum of the damped quadratic model over the `free` labels within the bounds:
/// labels that would leave them are held there, and the others sought anew. False where there is none.
fn bounded_step(search: &mut Search, mut free: Vec<usize>, limit: f64, factors: &mut [Option<Factor>]) -> bool {
    let l = search.scaled.len();
    let mut moved = vec![0.0; l];
    while let Some(last) = free.len().checked_sub(1) {
        let m = last + 1;
        let matrix: Vec<f64> = (0..m * m).map(|index| search.matrix[free[index / m] * l + free[index % m]]).collect();
        let damping: Vec<f64> = free.iter().map(|&k| search.damping * search.matrix[k * l + k] + f64::MIN_POSITIVE).collect();
        let factor = factors[last].get_or_insert_with(|| Factor::new(m));
        if !factor.decompose(&matrix, &damping) {
            return false;
        }
        let pull = |k: usize| -> f64 { (0..l).filter(|j| !free.contains(j)).map(|j| search.matrix[k * l + j] * moved[j]).sum() };
        let mut step: Vec<f64> = free.iter().map(|&k| -search.gradient[k] - pull(k)).collect();
        factor.solve(&mut step);
        let leaves = |k: usize, step: f64| (search.scaled[k] + step).abs() > limit;
        let is_inside: Vec<bool> = free.iter().zip(&step).map(|(&k, step)| !leaves(k, *step)).collect();
        for (&k, step) in free.iter().zip(&step) {
            let to = if leaves(k, *step) { limit.copysign(search.scaled[k] + step) } else { search.scaled[k] + step };
            moved[k] = to - search.scaled[k];
        }
        if is_inside.iter().all(|inside| *inside) {
            break;
        }
        free = free.into_iter().zip(is_inside).filter_map(|(k, inside)| inside.then_some(k)).collect();
    }
    for (trial, moved) in search.trial.iter_mut().zip(moved) {
        *trial += moved;
    }
    true
}

impl Search {
    fn take(&mut self, found: Evaluated) {
        (self.chi_square, self.matrix, self.gradient) = (found.chi_square, found.matrix, found.gradient);
    }

    fn refuse(&mut self) {
        self.damping *= self.growth;
        self.growth *= 2.0;
    }
}

fn to_strips(n: usize, value: impl Fn(usize) -> f32) -> Vec<Strip> {
    let at = |i: usize| if i < n { value(i) } else { 0.0 };
    (0..strips(n)).map(|s| Strip(std::array::from_fn(|lane| at(s * WIDTH + lane)))).collect()
}
