//! What a sample tells of a training before it begins: units of the labels, pixels and labels that are no
//! basis of one.

use crate::observations::Observations;
use crate::per_pixel::{LabelledSpectra, canonical_name};
use crate::quantity::Facts;
use crate::unit;
use std::collections::BTreeMap;

/// A pixel that a smaller part of the training spectra has is trained only where they are as many as its
/// parameters.
const RARE: f64 = 0.1;
/// Stars at either end of the values of a label that say nothing of its width: this part of them, …
const TAIL: f64 = 0.005;
/// … at least so many.
const FEWEST_OF_A_TAIL: usize = 3;
/// Fewest stars of which a star can be said to be apart.
const FEWEST: usize = 20;

/// Units of labels that are known under another spelling of their names (`TEFF`, `[Fe/H]`): observations are
/// read in them. Those of the names as they are need no word.
pub(super) fn units_of_spellings(labels: &[String]) -> BTreeMap<String, String> {
    let of = |name: &String| match Facts::of(name).unit {
        Some(_) => None,
        None => Some((name.clone(), Facts::of(&canonical_name(name)).unit?)),
    };
    labels.iter().filter_map(of).collect()
}

/// The unit of every label: that of the quantity; of one that the program does not know, that of the column,
/// where it states one that is understood.
pub(super) fn units_of_labels(labels: &[String], observations: &Observations) -> Vec<String> {
    let of = |name: &String| {
        let facts = Facts::of(&canonical_name(name));
        if facts.unit.is_some() {
            return facts.unit_in_files().to_owned();
        }
        let stated = observations.auxiliary.get(name).and_then(|column| unit::understood(&column.schema.unit));
        stated.unwrap_or_default().to_owned()
    };
    labels.iter().map(of).collect()
}

/// Fewest spectra by which a pixel can be trained: more than its labels, and as many as it has parameters or
/// as a tenth of the spectra.
pub(super) fn fewest_of_a_pixel(n_spectra: usize, n_labels: usize, n_parameters: usize) -> usize {
    (n_labels + 1).max(n_parameters.min((RARE * n_spectra as f64).ceil() as usize))
}

/// Pixels that too few spectra have to be trained, those that none has among them; they take no part in a
/// training, nor in fits.
pub(super) fn without_enough(spectra: &LabelledSpectra, fewest: usize) -> Vec<(usize, usize)> {
    let count = |pixel: usize| spectra.inverse_variance.column(pixel).iter().filter(|weight| **weight > 0.0).count();
    (0..spectra.flux.ncols()).map(|pixel| (pixel, count(pixel))).filter(|(_, n)| *n < fewest.max(1)).collect()
}

/// Labels whose range is made by a few stars far from all others; one sentence each.
pub(super) fn outlying(labels: &[String], spectra: &LabelledSpectra) -> Vec<String> {
    let n = spectra.len();
    if n < FEWEST {
        return Vec::new();
    }
    let tail = FEWEST_OF_A_TAIL.max((TAIL * n as f64) as usize);
    let of = |(k, name): (usize, &String)| {
        let mut values = spectra.labels.column(k).to_vec();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[tail], values[n - 1 - tail]);
        let width = high - low;
        let is_apart = |value: &f64| *value > high + width || *value < low - width;
        let n_apart = values.iter().filter(|value| is_apart(value)).count();
        (n_apart > 0 && width > 0.0).then(|| {
            format!(
                "the range of {name} is from {:.6} to {:.6}, and all but {} of {n} training stars are within {low:.6} to {high:.6}: \
                 {n_apart} lie apart by more than that width. Labels are scaled by the range: check these stars, or cut them out",
                values[0],
                values[n - 1],
                2 * tail
            )
        })
    };
    labels.iter().enumerate().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn spectra(labels: Vec<f64>, n_pixels: usize) -> LabelledSpectra {
        let n = labels.len();
        LabelledSpectra {
            labels: Array2::from_shape_vec((n, 1), labels).unwrap(),
            label_errors: None,
            flux: Array2::ones((n, n_pixels)),
            inverse_variance: Array2::ones((n, n_pixels)),
        }
    }

    #[test]
    fn a_star_far_from_all_others_is_said_and_tails_are_not() {
        let names = ["teff".to_owned()];
        let even: Vec<f64> = (0..500).map(|i| 4200.0 + 5.0 * f64::from(i)).collect();
        assert_eq!(outlying(&names, &spectra(even.clone(), 1)), Vec::<String>::new());
        let mut one = even.clone();
        one[5] = 20_000.0;
        let said = outlying(&names, &spectra(one, 1)).join("");
        assert!(said.contains("20000") && said.contains(" 1 lie apart"), "{said}");
        // Quantiles of a metallicity with an exponential tail.
        let tail: Vec<f64> = (0..2000).map(|i| 0.3 + 0.3 * ((f64::from(i) + 0.5) / 2000.0).ln()).collect();
        assert_eq!(outlying(&names, &spectra(tail, 1)), Vec::<String>::new());
        assert!(outlying(&names, &spectra(vec![1.0; 10], 1)).is_empty());
    }

    #[test]
    fn pixels_of_few_spectra_are_counted() {
        let mut some = spectra((0..100).map(f64::from).collect(), 3);
        some.inverse_variance.column_mut(1).fill(0.0);
        some.inverse_variance.slice_mut(ndarray::s![4.., 2]).fill(0.0);
        assert_eq!(without_enough(&some, 5), [(1, 0), (2, 4)]);
        assert_eq!(without_enough(&some, 4), [(1, 0)]);
        // Of few spectra all the same, a polynomial of many terms is trained as before.
        assert_eq!([fewest_of_a_pixel(900, 15, 137), fewest_of_a_pixel(60, 2, 500), fewest_of_a_pixel(900, 3, 10)], [90, 6, 10]);
    }

    #[test]
    fn spellings_have_the_units_of_their_quantities() {
        let labels = ["TEFF", "teff", "age", "[Fe/H]"].map(String::from);
        let found = units_of_spellings(&labels);
        assert_eq!((found.len(), found["TEFF"].as_str(), found["[Fe/H]"].as_str()), (2, "K", "dex"));
    }
}
