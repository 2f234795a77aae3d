//! Scatter of labels over their Cramér–Rao bounds, in bins of the signal-to-noise ratio: an unbiased estimate
//! cannot have less than 1 (Zhang et al. 2024, Fig. 9, find about 2).

use super::stars::AbundanceStars;
use crate::error::{Error, Result};
use crate::quantity::plain_symbol;
use crate::statistics::{MAD_SIGMA_ERROR, equal_count_edges, median, percentiles, robust_scatter};
use crate::table::{Column, Values};
use crate::validate::figure::{LabelPrecision, PrecisionBin, PrecisionChart};
use crate::validate::number::decimals;
use crate::validate::report::Report;
use ndarray::{Array2, ArrayView2};
use std::collections::BTreeMap;

/// Most bins, and fewest deviations of each.
const MOST_BINS: usize = 4;
const LEAST_OF_BIN: usize = 100;
/// Central 90 % of the ratios are within this factor: they are of one bin.
const ONE_BIN: f64 = 1.2;
/// Fewest deviations of a label.
const LEAST: usize = 10;

/// Deviations with their bounds.
#[derive(Debug, Clone)]
pub struct Precision {
    pub bins: Vec<PrecisionBin>,
    /// All of them together.
    pub all: PrecisionBin,
    /// Deviations: stars, or pairs of spectra.
    pub n: usize,
}

/// What deviates: differences, and the standard deviations that they have at the bounds `[N, L]`, with the
/// factor by which a difference scatters more than an estimate.
struct Deviations<'a> {
    names: &'a [String],
    units: &'a [String],
    snr: Vec<f64>,
    difference: Array2<f64>,
    bound: Array2<f64>,
    of_one: f64,
}

impl Precision {
    /// Of estimates against the true labels of all rows of the catalogue `[N, L]`; NaN where one is not
    /// known.
    ///
    /// # Errors
    /// When nothing can be compared.
    pub fn against_truth(stars: &AbundanceStars<'_>, truth: ArrayView2<'_, f64>) -> Result<Self> {
        if truth.nrows() != stars.n_all || truth.ncols() != stars.space.len() {
            return Err(Error::data("truth").found(format!("{:?} labels", truth.dim())).expected(format!(
                "{} stars with {} labels",
                stars.n_all,
                stars.space.len()
            )));
        }
        let difference = Array2::from_shape_fn(stars.labels.dim(), |(i, k)| stars.labels[[i, k]] - truth[[stars.rows[i], k]]);
        Deviations {
            names: &stars.space.names,
            units: &stars.space.units,
            snr: stars.snr.clone(),
            difference,
            bound: stars.errors.clone(),
            of_one: 1.0,
        }
        .judged()
    }

    /// Of spectra of the same stars: `star` names the star of every row of the catalogue. Consecutive spectra
    /// of a star are compared.
    ///
    /// # Errors
    /// When no star has two spectra.
    pub fn of_repeats(stars: &AbundanceStars<'_>, star: &Column) -> Result<Self> {
        let mut of_star: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let names = names_of(star)?;
        for (i, &row) in stars.rows.iter().enumerate() {
            if let Some(name) = names.get(row).filter(|name| !name.is_empty()) {
                of_star.entry(name.clone()).or_default().push(i);
            }
        }
        // A spectrum is in one pair only: pairs are independent.
        let pairs: Vec<(usize, usize)> =
            of_star.values().flat_map(|spectra| spectra.chunks_exact(2).map(|pair| (pair[0], pair[1]))).collect();
        if pairs.is_empty() {
            return Err(Error::data(format!("column '{}'", star.schema.name))
                .found(format!("no star twice among {} rows that pass the cut", stars.len()))
                .expected("the same name, or number, for several spectra of a star")
                .remedy("Carry a column that names the star along with `photosphere fit --keep COLUMN`."));
        }
        let shape = (pairs.len(), stars.space.len());
        let squares = |(p, k): (usize, usize)| {
            let (a, b) = pairs[p];
            (stars.errors[[a, k]].powi(2) + stars.errors[[b, k]].powi(2)).sqrt()
        };
        Deviations {
            names: &stars.space.names,
            units: &stars.space.units,
            snr: pairs.iter().map(|&(a, b)| (stars.snr[a] * stars.snr[b]).sqrt()).collect(),
            difference: Array2::from_shape_fn(shape, |(p, k)| stars.labels[[pairs[p].0, k]] - stars.labels[[pairs[p].1, k]]),
            bound: Array2::from_shape_fn(shape, squares),
            of_one: 0.5_f64.sqrt(),
        }
        .judged()
    }
}

/// Names of stars, row by row; empty where there is none (nulls).
fn names_of(column: &Column) -> Result<Vec<String>> {
    let mut found = vec![String::new(); column.n_rows()];
    let named: Vec<usize> = (0..found.len()).filter(|&row| column.is_valid(row)).collect();
    match &column.values {
        Values::Text(names) => named.into_iter().for_each(|row| names[row].trim().clone_into(&mut found[row])),
        _ => {
            let numbers = column.select(&named).to_i64()?;
            named.into_iter().zip(numbers).for_each(|(row, number)| found[row] = number.to_string());
        }
    }
    Ok(found)
}

/// The unit of figures, and how many of the label's it is.
fn unit(of: &str) -> (&'static str, f64) {
    match of {
        "K" => ("100 K", 100.0),
        "km.s**-1" => ("km/s", 1.0),
        _ => ("dex", 1.0),
    }
}

impl Deviations<'_> {
    fn judged(&self) -> Result<Precision> {
        let is_known = |(i, k): (usize, usize)| (self.difference[[i, k]] / self.bound[[i, k]]).is_finite();
        let l = self.names.len();
        let rows: Vec<usize> = (0..self.difference.nrows()).filter(|&i| (0..l).any(|k| is_known((i, k)))).collect();
        let labels: Vec<usize> = (0..l).filter(|&k| rows.iter().filter(|&&i| is_known((i, k))).count() >= LEAST).collect();
        if labels.is_empty() {
            return Err(Error::data("catalogue and truth")
                .found(format!("{} stars with a label, its error and its truth", rows.len()))
                .expected(format!("at least {LEAST}"))
                .remedy("Give labels in columns <label> or true_<label> for the stars of the catalogue."));
        }
        let snr: Vec<f64> = rows.iter().map(|&i| self.snr[i]).collect();
        let bins = edges(&snr).windows(2).map(|ends| (ends[0], ends[1])).collect::<Vec<(f64, f64)>>();
        let last = bins.len().saturating_sub(1);
        let is_in = |at: usize, ratio: f64| ratio >= bins[at].0 && (ratio < bins[at].1 || (at == last && ratio <= bins[at].1));
        let of_bin = |at: usize| rows.iter().copied().filter(|&i| is_in(at, self.snr[i])).collect::<Vec<usize>>();
        let of_bins = (0..bins.len()).map(of_bin).filter(|rows| !rows.is_empty());
        let bins: Vec<PrecisionBin> = of_bins.map(|rows| self.bin(&rows, &labels)).collect();
        let all = self.bin(&rows, &labels);
        Ok(Precision { bins: if bins.is_empty() { vec![all.clone()] } else { bins }, all, n: rows.len() })
    }

    fn bin(&self, rows: &[usize], labels: &[usize]) -> PrecisionBin {
        let of_label = |&k: &usize| {
            let known = rows.iter().filter(|&&i| (self.difference[[i, k]] / self.bound[[i, k]]).is_finite());
            let known: Vec<usize> = known.copied().collect();
            let of = |value: &dyn Fn(usize) -> f64| known.iter().map(|&i| value(i)).collect::<Vec<f64>>();
            let pulls = of(&|i| self.difference[[i, k]] / self.bound[[i, k]]);
            let (unit, size) = unit(&self.units[k]);
            let ratio = robust_scatter(&pulls);
            LabelPrecision {
                label: self.names[k].clone(),
                unit,
                n: known.len(),
                bound: self.of_one * median(&of(&|i| self.bound[[i, k]])) / size,
                scatter: self.of_one * robust_scatter(&of(&|i| self.difference[[i, k]])) / size,
                ratio,
                ratio_error: MAD_SIGMA_ERROR * ratio / (known.len() as f64).sqrt(),
            }
        };
        let ratios: Vec<f64> = rows.iter().map(|&i| self.snr[i]).filter(|ratio| ratio.is_finite()).collect();
        let ends =
            ratios.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], ratio| [low.min(*ratio), high.max(*ratio)]);
        PrecisionBin { snr: ends, labels: labels.iter().map(of_label).collect() }
    }
}

/// Edges of bins of signal-to-noise ratios.
fn edges(snr: &[f64]) -> Vec<f64> {
    let [low, high] = percentiles(snr, [5.0, 95.0]);
    let n_bins = if high < ONE_BIN * low { 1 } else { (snr.len() / LEAST_OF_BIN).clamp(1, MOST_BINS) };
    equal_count_edges(snr, n_bins)
}

/// The section: `reference` is what labels are compared with.
pub fn section_of_precision(report: &mut Report, precision: &Precision, reference: &str) {
    report.section(
        "Scatter and Cramér–Rao bound",
        format!(
            "Scatter (1.4826 MAD) of the labels' deviations from {reference}, {} of them, over the Cramér–Rao bound of the model's own \
             gradients, which catalogues have as errors. An unbiased fit of the model to spectra with the stated errors has a ratio of 1 and \
             cannot have less; more are errors of the model, of the fluxes' errors, or of what it is compared with. Less have labels that \
             the spectra hardly tell: the bounds of the fit hold them.",
            precision.n
        ),
    );
    let header = ["S/N", "label", "unit", "stars", "median bound", "scatter", "ratio", "its error"];
    let row = |bin: &PrecisionBin, of: &LabelPrecision| {
        let unit = of.unit.to_owned();
        let numbers = [decimals(of.bound, 4), decimals(of.scatter, 4), decimals(of.ratio, 3), decimals(of.ratio_error, 3)];
        [bin.name(), plain_symbol(&of.label), unit, of.n.to_string()].into_iter().chain(numbers).collect::<Vec<String>>()
    };
    report.figure(
        "Above: scatter (points) and median bound (dashes) by signal-to-noise ratio. Below: scatter of deviations in units of their own \
         bounds, with its error.",
        PrecisionChart { bins: &precision.bins }.figure(),
    );
    let rows = precision.bins.iter().flat_map(|bin| bin.labels.iter().map(|of| row(bin, of))).collect();
    report.table("Scatter and bounds", header, rows);
}
