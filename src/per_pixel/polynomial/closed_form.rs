//! The polynomials of all pixels from linear equations. Of a pixel
//!
//! L = 1/N Σᵢ (f(ℓᵢ) − fᵢ)²/σᵢ² + 1/R Σⱼ Σₖ Dₖ/(2 εₖ) (∂f/∂ℓₖ(ℓⱼ) − gⱼₖ)² + λ/N Σₜ zₜ²
//!
//! which is the loss of networks with the parabola of the smoothed absolute value at zero in its place, and
//! z the coefficients of products of powers of twice the scaled labels, whose range is ±1. The gradient
//! term's part of the equations is the same for all pixels, and is made once. The flux's part is a product of
//! matrices for every different column of weights: pixels whose spectra have the same errors share it, and
//! its Cholesky factor. All in double precision.

use super::super::labels::LabelSpace;
use super::super::library::GradientLibrary;
use super::super::spectra::LabelledSpectra;
use super::super::train::{
    Checkpoint, FreedLabels, Iteration, PixelResult, Place, Training, TrainingSet, free_labels, label_rounds, round_history,
};
use super::cost::Cost;
use super::{PixelPolynomials, PolynomialEngine, PolynomialOptions, Terms};
use crate::error::{Error, Result};
use crate::tensor::cholesky::Factor;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pixels that are solved together.
const CHUNK: usize = 64;
/// Spectra of a section, whose weighted terms stay in the second-level cache.
const SECTION: usize = 256;
/// Columns of a block of equations.
const BLOCK: usize = 96;
/// Added to the diagonal, relative to its largest element: nothing that a spectrum could see, but enough for
/// terms that no star knows.
const LEAST_RIDGE: f64 = 1e-13;

/// Told of every pixel; ends a training by an error.
type Done<'a> = &'a (dyn Fn(Place, &PixelResult) -> Result<()> + Sync);

/// Solves for the polynomials of all pixels that are not among the `finished` ones. `done` is told of every
/// pixel, and ends the training by an error. Nothing depends on threads, nor on interruptions.
///
/// # Errors
/// When the set contradicts itself, an option is impossible, or equations have no solution; and whatever
/// `done` returns.
pub fn train_polynomials(
    set: &TrainingSet,
    options: &PolynomialOptions,
    finished: &Checkpoint,
    done: Done<'_>,
) -> Result<Training<PixelPolynomials>> {
    options.validate()?;
    set.check()?;
    solve(set, options, &gradient_rms(set, options), finished, done)
}

/// The polynomials of some of the pixels, which are those of a training of all: labels weigh by their
/// gradients at all pixels. With the labels that were `freed`, if they were.
///
/// # Errors
/// As [`train_polynomials`].
pub fn train_polynomials_at(
    set: &TrainingSet,
    pixels: &[usize],
    freed: Option<&FreedLabels>,
    options: &PolynomialOptions,
    done: Done<'_>,
) -> Result<Training<PixelPolynomials>> {
    options.validate()?;
    set.check()?;
    solve(&set.at_pixels(pixels, freed), options, &gradient_rms(set, options), &Checkpoint::default(), done)
}

/// The library, where it acts: without physics there are no references.
fn physics<'a>(set: &'a TrainingSet, options: &PolynomialOptions) -> Option<&'a GradientLibrary> {
    set.library.as_ref().filter(|_| set.space.names.iter().any(|name| options.gradient_weights().strength(name) > 0.0))
}

/// Root mean squares of the scaled gradients over all pixels of a set `[L]`.
fn gradient_rms(set: &TrainingSet, options: &PolynomialOptions) -> Vec<f64> {
    physics(set, options).map_or_else(|| vec![1.0; set.space.len()], |library| library.gradient_rms(&set.space))
}

/// Of a set that was checked, with the root mean squares of its labels' gradients `[L]`.
fn solve(
    set: &TrainingSet,
    options: &PolynomialOptions,
    rms: &[f64],
    finished: &Checkpoint,
    done: Done<'_>,
) -> Result<Training<PixelPolynomials>> {
    options.gradient_weights().require_known(&set.space)?;
    let terms = options.terms(&set.space.names)?;
    let n_rounds = label_rounds(set, options.label_alternations);
    let cost = Cost {
        n_spectra: set.spectra.len() + set.validation.len(),
        n_slopes: physics(set, options).map_or(0, |library| library.labels.len()),
        n_terms: terms.len(),
        n_equations: n_rounds * jobs(set.spectra.inverse_variance.view()).len(),
        n_threads: rayon::current_num_threads(),
    };
    cost.check()?;
    let mut trained = round(set, options, (&terms, rms), None, (0, n_rounds), (finished, done))?;
    for at in 1..n_rounds {
        tracing::info!("labels of the training stars are freed within their errors, {at} of {} times", n_rounds - 1);
        let freed = free_labels(set, Arc::new(PolynomialEngine::new(&trained.model)))?;
        let mut history = trained.history;
        trained = round(set, options, (&terms, rms), Some(freed), (at, n_rounds), (finished, done))?;
        history.append(&mut trained.history);
        trained.history = history;
    }
    Ok(trained)
}

fn round(
    set: &TrainingSet,
    options: &PolynomialOptions,
    (terms, rms): (&Terms, &[f64]),
    freed: Option<FreedLabels>,
    (round, n_rounds): (usize, usize),
    (finished, done): (&Checkpoint, Done<'_>),
) -> Result<Training<PixelPolynomials>> {
    let known =
        |pixel: &usize| finished.pixels.get(&(round, *pixel)).filter(|result| result.parameters.len() == terms.len()).cloned();
    let equations = Equations::new(set, options, (terms, rms), freed.as_ref());
    let jobs: Vec<Vec<usize>> = jobs(set.spectra.inverse_variance.view());
    let solved: Vec<Vec<(usize, PixelResult)>> = jobs
        .into_par_iter()
        .map(|pixels| {
            // Pixels that are solved together are taken up together: to the same bits.
            let known: Option<Vec<PixelResult>> = pixels.iter().map(known).collect();
            let results = known.map_or_else(|| equations.solve(&pixels), Ok)?;
            pixels
                .into_iter()
                .zip(results)
                .map(|(pixel, result)| {
                    done(Place { round, n_rounds, pixel }, &result)?;
                    Ok((pixel, result))
                })
                .collect()
        })
        .collect::<Result<_>>()?;
    let mut solved: Vec<(usize, PixelResult)> = solved.into_iter().flatten().collect();
    solved.sort_unstable_by_key(|(pixel, _)| *pixel);
    let pixels: Vec<PixelResult> = solved.into_iter().map(|(_, result)| result).collect();
    let coefficients = Array2::from_shape_fn((pixels.len(), terms.len()), |(w, t)| pixels[w].parameters[t]);
    let model = PixelPolynomials::new(set.space.clone(), set.wavelength.clone(), terms.clone(), coefficients)?;
    let history = round_history(round, &pixels, |pixel| set.has_spectra(pixel), |place| place);
    Ok(Training { model, pixels, history, freed })
}

/// Pixels that are solved together: those with the same weights of all spectra, some at a time.
fn jobs(weights: ArrayView2<f32>) -> Vec<Vec<usize>> {
    let mut same: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    for (pixel, column) in weights.axis_iter(Axis(1)).enumerate() {
        let mut hash = Sha256::new();
        column.iter().for_each(|weight| hash.update(weight.to_le_bytes()));
        same.entry(hash.finalize().into()).or_default().push(pixel);
    }
    let mut jobs: Vec<Vec<usize>> =
        same.into_values().flat_map(|pixels| pixels.chunks(CHUNK).map(<[usize]>::to_vec).collect::<Vec<_>>()).collect();
    jobs.sort_unstable();
    jobs
}

/// What the equations of all pixels share.
struct Equations<'a> {
    set: &'a TrainingSet,
    options: &'a PolynomialOptions,
    /// Products of powers of twice the scaled labels, of the spectra for training and validation `[N, T]`.
    products: [Array2<f64>; 2],
    /// Their derivatives by the scaled labels at the references `[R · L, T]`.
    slopes: Array2<f64>,
    /// Dₖ/R and Dₖ/(2 εₖ R) `[L]`.
    strength: Vec<f64>,
    weight: Vec<f64>,
    /// The gradient term's part of the equations, upper triangle `[T, T]`.
    of_gradients: Array2<f64>,
    /// 2^degree of the terms, which takes the coefficients to the scaled labels `[T]`.
    scale: Vec<f64>,
    /// The term without labels.
    constant: Option<usize>,
}

impl<'a> Equations<'a> {
    fn new(
        set: &'a TrainingSet,
        options: &'a PolynomialOptions,
        (terms, rms): (&Terms, &[f64]),
        freed: Option<&FreedLabels>,
    ) -> Self {
        let space = &set.space;
        let labels = freed.map_or([&set.spectra.labels, &set.validation.labels], |freed| [&freed.training, &freed.validation]);
        let library = physics(set, options);
        let n_references = library.map_or(0, |library| library.labels.nrows());
        let weights = options.gradient_weights().weights(space, rms);
        let strength: Vec<f64> = weights.into_iter().map(|weight| weight / n_references.max(1) as f64).collect();
        let weight = |k: usize| if rms[k] > 0.0 { strength[k] / (2.0 * options.smoothing * rms[k]) } else { 0.0 };
        let weight: Vec<f64> = (0..space.len()).map(weight).collect();
        let slopes =
            library.map_or_else(|| Array2::zeros((0, terms.len())), |library| slopes(space, terms, library.labels.view()));
        let mut of_gradients = Array2::zeros((terms.len(), terms.len()));
        let roots: Vec<f64> = (0..slopes.nrows()).map(|row| weight[row % space.len()].sqrt()).collect();
        add_squares(slopes.view(), &roots, &mut of_gradients);
        Self {
            set,
            options,
            products: labels.map(|labels| products(space, terms, labels.view())),
            slopes,
            strength,
            weight,
            of_gradients,
            scale: (0..terms.len()).map(|t| f64::from(terms.degree(t)).exp2()).collect(),
            constant: (0..terms.len()).find(|&t| terms.degree(t) == 0),
        }
    }

    /// Pixels with the same weights.
    fn solve(&self, pixels: &[usize]) -> Result<Vec<PixelResult>> {
        let t = self.scale.len();
        let weight: Vec<f64> = weights(&self.set.spectra, pixels[0]);
        let roots: Vec<f64> = weight.iter().map(|weight| weight.sqrt()).collect();
        let mut matrix = self.of_gradients.clone();
        add_squares(self.products[0].view(), &roots, &mut matrix);
        let n = self.set.spectra.inverse_variance.column(pixels[0]).iter().filter(|weight| **weight > 0.0).count().max(1);
        let ridge = self.options.ridge / n as f64;
        let least = LEAST_RIDGE * (0..t).map(|i| matrix[[i, i]]).fold(f64::MIN_POSITIVE, f64::max);
        let damping: Vec<f64> = (0..t).map(|i| least + if Some(i) == self.constant { 0.0 } else { ridge }).collect();
        let mut factor = Factor::new(t);
        if !factor.decompose(matrix.as_slice().unwrap_or_default(), &damping) {
            return Err(Error::numerical(format!("polynomial of pixel {}", pixels[0]))
                .found("equations without a solution")
                .expected("more stars than terms, or a ridge")
                .remedy("Raise `ridge`, or lower the degrees in the recipe."));
        }
        let flux = fluxes(&self.set.spectra, pixels, &weight);
        let weighted = Array2::from_shape_fn(flux.dim(), |(i, p)| weight[i] * flux[[i, p]]);
        let gradient = self.gradients(pixels);
        let l = self.strength.len();
        let pulled = Array2::from_shape_fn(gradient.dim(), |(row, p)| self.weight[row % l] * gradient[[row, p]]);
        // A row per pixel: solutions go by rows.
        let mut solutions = weighted.t().dot(&self.products[0]);
        solutions += &pulled.t().dot(&self.slopes);
        // What is said of the polynomials is said of the coefficients that are kept, in single precision.
        let rounded = |value: f64, t: usize| f64::from((self.scale[t] * value) as f32) / self.scale[t];
        for mut row in solutions.rows_mut() {
            let mut solution = row.to_vec();
            factor.solve(&mut solution);
            row.iter_mut().zip(solution).enumerate().for_each(|(t, (to, from))| *to = rounded(from, t));
        }
        let chi_square = |spectra: &LabelledSpectra, products: &Array2<f64>| -> Vec<f64> {
            let predicted = products.dot(&solutions.t());
            let of = |(p, &pixel): (usize, &usize)| {
                let weight = weights(spectra, pixel);
                let square = |i: usize| match weight[i] > 0.0 {
                    true => weight[i] * (predicted[[i, p]] - f64::from(spectra.flux[[i, pixel]])).powi(2),
                    false => 0.0,
                };
                (0..weight.len()).map(square).fold(0.0, |sum, square| sum + square)
            };
            pixels.iter().enumerate().map(of).collect()
        };
        let training = chi_square(&self.set.spectra, &self.products[0]);
        let validation = chi_square(&self.set.validation, &self.products[1]);
        let missed = self.slopes.dot(&solutions.t()) - &gradient;
        // A sum of nothing is -0.
        let gradient_term =
            |p: usize| missed.column(p).iter().enumerate().fold(0.0, |sum, (row, d)| sum + self.strength[row % l] * d.abs());
        let result = |p: usize| PixelResult {
            parameters: (0..t).map(|t| (self.scale[t] * solutions[[p, t]]) as f32).collect(),
            kept: Iteration { stage: 0, flux: training[p], gradient: gradient_term(p), validation: validation[p] },
            n_iterations: 1,
            history: Vec::new(),
        };
        Ok((0..pixels.len()).map(result).collect())
    }

    /// Gradients by the scaled labels at the references `[R · L, pixels]`.
    fn gradients(&self, pixels: &[usize]) -> Array2<f64> {
        let space = &self.set.space;
        let gradient = |(row, p): (usize, usize)| {
            let (j, k) = (row / space.len(), row % space.len());
            let library = self.set.library.as_ref();
            library.map_or(0.0, |library| f64::from(library.gradient[[j, k, pixels[p]]]) * space.width(k))
        };
        Array2::from_shape_fn((self.slopes.nrows(), pixels.len()), gradient)
    }
}

/// Weights of the spectra at a pixel, 1/(N σ²); 0 for missing ones, which do not count in N.
fn weights(spectra: &LabelledSpectra, pixel: usize) -> Vec<f64> {
    let column = spectra.inverse_variance.column(pixel);
    let n = column.iter().filter(|weight| **weight > 0.0).count().max(1) as f64;
    column.iter().map(|weight| f64::from(*weight) / n).collect()
}

/// `[N, pixels]`, 0 where the weight is.
fn fluxes(spectra: &LabelledSpectra, pixels: &[usize], weight: &[f64]) -> Array2<f64> {
    let flux = |(i, p): (usize, usize)| if weight[i] > 0.0 { f64::from(spectra.flux[[i, pixels[p]]]) } else { 0.0 };
    Array2::from_shape_fn((weight.len(), pixels.len()), flux)
}

/// Products of powers of twice the scaled labels, for labels `[N, L]` in their units.
fn products(space: &LabelSpace, terms: &Terms, labels: ArrayView2<f64>) -> Array2<f64> {
    let scaled = space.scale(labels) * 2.0;
    let mut products = Array2::zeros((labels.nrows(), terms.len()));
    for (mut row, at) in products.rows_mut().into_iter().zip(scaled.rows()) {
        row.iter_mut().zip(terms.values(&at.to_vec())).for_each(|(to, from)| *to = from);
    }
    products
}

/// Their derivatives by the scaled labels `[N · L, T]`.
fn slopes(space: &LabelSpace, terms: &Terms, labels: ArrayView2<f64>) -> Array2<f64> {
    let (scaled, l) = (space.scale(labels) * 2.0, space.len());
    let mut slopes = Array2::zeros((labels.nrows() * l, terms.len()));
    for (j, at) in scaled.rows().into_iter().enumerate() {
        let at = at.to_vec();
        for k in 0..l {
            for (term, slope) in terms.acting(k).iter().zip(terms.slopes(k, &at)) {
                slopes[[j * l + k, *term as usize]] = 2.0 * slope;
            }
        }
    }
    slopes
}

/// Adds `(roots · rows)ᵀ (roots · rows)` to the upper triangle of `to [T, T]`, a section of `rows [M, T]` at
/// a time.
fn add_squares(rows: ArrayView2<f64>, roots: &[f64], to: &mut Array2<f64>) {
    let t = rows.ncols();
    for first in (0..rows.nrows()).step_by(SECTION) {
        let last = (first + SECTION).min(rows.nrows());
        let mut section = rows.slice(s![first..last, ..]).to_owned();
        for (mut row, root) in section.rows_mut().into_iter().zip(&roots[first..last]) {
            row *= *root;
        }
        for start in (0..t).step_by(BLOCK) {
            let end = (start + BLOCK).min(t);
            let (left, right) = (section.slice(s![.., start..end]), section.slice(s![.., start..]));
            general_mat_mul(1.0, &left.t(), &right, 1.0, &mut to.slice_mut(s![start..end, start..]));
        }
    }
}
