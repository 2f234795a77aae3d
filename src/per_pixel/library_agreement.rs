//! Does a gradient library agree with itself? Between two references that are near each other the fluxes
//! differ by what the gradients say: fᵢ − fⱼ ≈ ½ (gᵢ + gⱼ)·(ℓᵢ − ℓⱼ). The slope of a regression of the former
//! on the latter over pairs of neighbours is 1; gradients in other units, of another sign, of other
//! references or on other pixels give another, or a weaker correlation.

use super::library::GradientLibrary;
use crate::error::{Error, Result};
use nalgebra::DMatrix;
use ndarray::{Array2, ArrayView2};
use std::fmt::Write;

/// References that are looked at, at most.
const MOST_REFERENCES: usize = 400;
/// Pairs of neighbours for each of them: nearer ones are straighter, more of them average better.
const PAIRS: usize = 3;
/// Fewest references that tell anything.
const FEWEST: usize = 5;
/// A slope outside of this is wrong, …
const SLOPES: std::ops::RangeInclusive<f64> = 0.6..=1.7;
/// … where it is so many standard errors from 1.
const STANDARD_ERRORS: f64 = 4.0;
/// Correlation below which a library is doubtful: 0.91 to 0.999 of real libraries.
const WEAK_CORRELATION: f64 = 0.9;
/// Pixels by which gradients may lie beside their fluxes.
const LARGEST_SHIFT: isize = 3;
/// Part of the unexplained differences of flux that shifted gradients, or the mean gradients of all
/// references, have to explain to be better ones.
const BETTER: f64 = 0.1;

/// What a library says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    pub n_pairs: usize,
    /// Of differences of fluxes on what gradients make of differences of labels, with its standard error.
    pub slope: (f64, f64),
    pub correlation: f64,
    /// The correlation that the mean gradients of all references would have.
    pub of_mean: f64,
    /// By how many pixels gradients are to be moved to agree best, and the correlation there.
    pub best_shift: (isize, f64),
    /// The slope of every label by itself, of a regression on all of them, with its standard error `[L]`; NaN
    /// of labels that do not vary.
    pub labels: Vec<(f64, f64)>,
}

/// Sums over pairs and pixels of what is predicted and what is there.
#[derive(Default)]
struct Sums {
    predicted: f64,
    both: f64,
    flux: f64,
}

impl Sums {
    fn add(&mut self, predicted: f64, flux: f64) {
        self.predicted += predicted * predicted;
        self.both += predicted * flux;
        self.flux += flux * flux;
    }

    fn correlation(&self) -> f64 {
        let scale = (self.predicted * self.flux).sqrt();
        if scale > 0.0 { self.both / scale } else { 0.0 }
    }
}

/// Whether a slope cannot be 1.
fn is_wrong((slope, error): (f64, f64)) -> bool {
    !SLOPES.contains(&slope) && (slope - 1.0).abs() > STANDARD_ERRORS * error
}

impl GradientLibrary {
    /// Holds fluxes and gradients of neighbouring references against each other; none of fewer than five, or
    /// of references that do not differ.
    pub fn agreement(&self) -> Option<Agreement> {
        let (all, l, w) = (self.labels.nrows(), self.names.len(), self.wavelength.len());
        let n = all.min(MOST_REFERENCES);
        let some: Vec<usize> = (0..n).map(|i| (2 * i + 1) * all / (2 * n)).collect();
        let pairs = self.neighbours(&some);
        if n < FEWEST || pairs.is_empty() {
            return None;
        }
        let mean = self.gradient.mean_axis(ndarray::Axis(0))?;
        let mut shifted: Vec<Sums> = (-LARGEST_SHIFT..=LARGEST_SHIFT).map(|_| Sums::default()).collect();
        let mut of_mean = Sums::default();
        let mut products = DMatrix::<f64>::zeros(l, l);
        let mut along = vec![0.0; l];
        for &(i, j) in &pairs {
            let flux: Vec<f64> =
                (0..w).map(|pixel| f64::from(self.flux[[i, pixel]]) - f64::from(self.flux[[j, pixel]])).collect();
            // What every label alone changes [L, W].
            let parts = Array2::from_shape_fn((l, w), |(k, pixel)| {
                let gradient = f64::from(self.gradient[[i, k, pixel]]) + f64::from(self.gradient[[j, k, pixel]]);
                0.5 * gradient * (self.labels[[i, k]] - self.labels[[j, k]])
            });
            let predicted: Vec<f64> = (0..w).map(|pixel| parts.column(pixel).sum()).collect();
            for (sums, shift) in shifted.iter_mut().zip(-LARGEST_SHIFT..) {
                let inside = (0..w).filter_map(|pixel| Some((pixel, pixel.checked_add_signed(-shift).filter(|from| *from < w)?)));
                inside.for_each(|(pixel, from)| sums.add(predicted[from], flux[pixel]));
            }
            for pixel in 0..w {
                let difference = |k: usize| self.labels[[i, k]] - self.labels[[j, k]];
                of_mean.add((0..l).map(|k| f64::from(mean[[k, pixel]]) * difference(k)).sum(), flux[pixel]);
            }
            add_products(&mut products, &mut along, parts.view(), &flux);
        }
        let own = &shifted[LARGEST_SHIFT as usize];
        let slope = if own.predicted > 0.0 { own.both / own.predicted } else { 0.0 };
        let unexplained = (own.flux - slope * own.both).max(0.0);
        let best = (-LARGEST_SHIFT..).zip(shifted.iter().map(Sums::correlation)).max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(Agreement {
            n_pairs: pairs.len(),
            slope: (slope, if own.predicted > 0.0 { (unexplained / own.predicted / n as f64).sqrt() } else { 0.0 }),
            correlation: own.correlation(),
            of_mean: of_mean.correlation(),
            best_shift: best,
            labels: slopes_of_labels(products, &along, own.flux, n),
        })
    }

    /// Pairs of some references that are nearest to each other, labels in units of their scatter.
    fn neighbours(&self, some: &[usize]) -> Vec<(usize, usize)> {
        let inverse: Vec<f64> = (0..self.names.len())
            .map(|k| {
                let deviation = self.labels.column(k).std(0.0);
                if deviation > 1e-12 * self.labels[[0, k]].abs() { 1.0 / deviation } else { 0.0 }
            })
            .collect();
        let square = |i: usize, j: usize| -> f64 {
            inverse.iter().enumerate().map(|(k, inverse)| ((self.labels[[i, k]] - self.labels[[j, k]]) * inverse).powi(2)).sum()
        };
        let pairs = some.iter().enumerate().flat_map(|(place, &i)| some[place + 1..].iter().map(move |&j| (i, j)));
        let mut pairs: Vec<(f64, (usize, usize))> =
            pairs.map(|(i, j)| (square(i, j), (i, j))).filter(|(square, _)| *square > 0.0).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        pairs.truncate(PAIRS * some.len());
        pairs.into_iter().map(|(_, pair)| pair).collect()
    }

    /// Fails where fluxes and gradients contradict each other; returns what is doubtful, one sentence each.
    ///
    /// # Errors
    /// `Data`: gradients of a reference that are all zero, slopes that are not 1, gradients on other pixels
    /// or of other references than the fluxes.
    pub fn require_agreement(&self) -> Result<Vec<String>> {
        let is_zero = |i: usize| self.gradient.index_axis(ndarray::Axis(0), i).iter().all(|value| *value == 0.0);
        let zero: Vec<usize> = (0..self.labels.nrows()).filter(|&i| is_zero(i)).collect();
        if let Some(first) = zero.first() {
            return Err(Error::data(format!("{}, gradient", self.origin))
                .found(format!("{} references whose gradients are all zero, the first in row {first}", zero.len()))
                .expected("gradients at every reference")
                .remedy("Leave the reference out where the synthesis failed."));
        }
        let mut doubts: Vec<String> = (0..self.names.len())
            .filter(|&k| self.gradient.slice(ndarray::s![.., k, ..]).iter().all(|value| *value == 0.0))
            .map(|k| format!("the gradients of {} by {} are zero everywhere", self.origin, self.names[k]))
            .collect();
        let Some(found) = self.agreement() else { return Ok(doubts) };
        let unexplained = |correlation: f64| 1.0 - correlation.max(0.0).powi(2);
        let is_better = |other: f64| unexplained(other) < (1.0 - BETTER) * unexplained(found.correlation);
        let refused = |what: String, remedy: &str| {
            Err(Error::data(format!("{}, flux and gradient of {} pairs of references", self.origin, found.n_pairs))
                .found(what)
                .expected("fluxes that differ by what the gradients say, a slope of 1")
                .remedy(remedy))
        };
        let (slope, error) = found.slope;
        let r = found.correlation;
        let mut labels = String::new();
        for (name, (slope, error)) in self.names.iter().zip(&found.labels).filter(|(_, slope)| is_wrong(**slope)) {
            // Writing to a string cannot fail.
            let _ = write!(labels, "{}{name} {slope:.3} ± {error:.3}", if labels.is_empty() { "" } else { ", " });
        }
        if is_wrong(found.slope) {
            let of_labels = if labels.is_empty() { labels } else { format!("; by label {labels}") };
            return refused(
                format!("a slope of {slope:.3} ± {error:.3} (correlation {r:.3}){of_labels}"),
                "Give gradients per unit of the label: (f(ℓ + h) − f(ℓ − h))/2h, in the order of label_names and of the references.",
            );
        }
        let (shift, at_best) = found.best_shift;
        if shift != 0 && is_better(at_best) {
            return refused(
                format!("gradients that agree best {shift:+} pixels away (correlation {at_best:.3}, {r:.3} where they are)"),
                "Put flux and gradients on the same pixels (vacuum, the same resampling).",
            );
        }
        if is_better(found.of_mean) {
            return refused(
                format!(
                    "gradients that agree less with their own references (correlation {r:.3}) than their mean does ({:.3})",
                    found.of_mean
                ),
                "Give labels, flux and gradients in the same order of references.",
            );
        }
        if !labels.is_empty() {
            return refused(
                format!("slopes of {labels}"),
                "Check the units and steps of these labels, and the order of label_names.",
            );
        }
        if r < WEAK_CORRELATION {
            doubts.push(format!(
                "fluxes and gradients of {} agree little over {} pairs of neighbouring references (correlation {r:.3}, slope {slope:.3}): \
                 they are of other syntheses, or far apart",
                self.origin, found.n_pairs
            ));
        }
        Ok(doubts)
    }
}

fn add_products(products: &mut DMatrix<f64>, along: &mut [f64], parts: ArrayView2<'_, f64>, flux: &[f64]) {
    let own = parts.dot(&parts.t());
    for (k, along) in along.iter_mut().enumerate() {
        *along += parts.row(k).iter().zip(flux).map(|(part, flux)| part * flux).sum::<f64>();
        (0..parts.nrows()).for_each(|other| products[(k, other)] += own[[k, other]]);
    }
}

/// Least squares on all labels. References, not pixels, are counted as independent.
fn slopes_of_labels(products: DMatrix<f64>, along: &[f64], flux: f64, n: usize) -> Vec<(f64, f64)> {
    let scale: Vec<f64> = (0..along.len()).map(|k| products[(k, k)].sqrt()).collect();
    let known: Vec<usize> = (0..along.len()).filter(|&k| scale[k] > 0.0).collect();
    let mut found = vec![(f64::NAN, f64::NAN); along.len()];
    let matrix = DMatrix::from_fn(known.len(), known.len(), |a, b| {
        products[(known[a], known[b])] / (scale[known[a]] * scale[known[b]]) + if a == b { 1e-9 } else { 0.0 }
    });
    let Some(inverse) = matrix.cholesky().map(|factor| factor.inverse()) else { return found };
    let right: Vec<f64> = known.iter().map(|&k| along[k] / scale[k]).collect();
    let solved: Vec<f64> = (0..known.len()).map(|a| (0..known.len()).map(|b| inverse[(a, b)] * right[b]).sum::<f64>()).collect();
    let explained: f64 = solved.iter().zip(&right).map(|(slope, along)| slope * along).sum();
    let unexplained = (flux - explained).max(0.0);
    for (a, &k) in known.iter().enumerate() {
        found[k] = (solved[a] / scale[k], (inverse[(a, a)] * unexplained / n as f64).sqrt() / scale[k]);
    }
    found
}
