//! χ² of the single spectra of a training under the model that it ended with. A spectrum whose continuum or
//! wavelengths failed weighs as its errors claim, and bends the model for all stars, of which the mean χ² of
//! the validation says nothing.

use crate::per_pixel::{LabelledSpectra, PixelModel, emulate};
use crate::statistics::median;
use ndarray::{ArrayView2, s};
use rayon::prelude::*;

/// Spectra that are emulated at a time.
const AT_A_TIME: usize = 256;
/// χ² a pixel, and times its median, beyond which a spectrum is none that the model describes.
const BEYOND: f64 = 10.0;
/// Median χ² a pixel above which the model describes none of them well, which is another matter.
const LARGEST_MEDIAN: f64 = 3.0;
/// Identifiers in a message.
const SHOWN: usize = 5;

/// χ² a pixel of spectra at `labels [N, L]`; NaN without a pixel.
pub(super) fn chi_square_per_pixel(model: &dyn PixelModel, labels: ArrayView2<f64>, spectra: &LabelledSpectra) -> Vec<f64> {
    let n = labels.nrows();
    let mut all = Vec::with_capacity(n);
    for first in (0..n).step_by(AT_A_TIME) {
        let stars = first..(first + AT_A_TIME).min(n);
        let own = emulate(model, labels.slice(s![stars.clone(), ..]));
        let of_star = |star: usize| {
            let pixels = spectra.flux.row(star).into_iter().zip(spectra.inverse_variance.row(star)).zip(own.row(star - first));
            let (mut sum, mut n_pixels) = (0.0, 0.0);
            for ((flux, weight), own) in pixels.filter(|((_, weight), _)| **weight > 0.0) {
                sum += f64::from(*weight) * f64::from(flux - own).powi(2);
                n_pixels += 1.0;
            }
            if n_pixels > 0.0 { sum / n_pixels } else { f64::NAN }
        };
        all.extend(stars.into_par_iter().map(of_star).collect::<Vec<f64>>());
    }
    all
}

/// What spectra far from the model say of a training, if there are some; `id` is that of a training star.
pub(super) fn doubt_of_misfits(chi_square: &[f64], id: impl Fn(usize) -> i64) -> Option<String> {
    let middle = median(chi_square);
    if middle.is_nan() || middle > LARGEST_MEDIAN {
        return None;
    }
    let limit = BEYOND * middle.max(1.0);
    let mut far: Vec<usize> =
        (0..chi_square.len()).filter(|&star| chi_square[star] > limit || chi_square[star].is_infinite()).collect();
    far.sort_by(|&one, &other| chi_square[other].total_cmp(&chi_square[one]));
    let &worst = far.first()?;
    let ids: Vec<String> = far.iter().take(SHOWN).map(|&star| id(star).to_string()).collect();
    let more = if far.len() > SHOWN { ", …" } else { "" };
    Some(format!(
        "{} of {} training spectra are far from the model (chi-square a pixel above {limit:.1}, {:.0} at most): {}{more}. They bend it for \
         all stars. Look at them (training_stars.parquet has chi2_per_pixel), leave out those that failed, and train again",
        far.len(),
        chi_square.len(),
        chi_square[worst],
        ids.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_spectra_far_from_the_model_are_named() {
        let mut chi_square: Vec<f64> = (0..1000).map(|i| 0.8 + 4e-4 * f64::from(i)).collect();
        let id = |star: usize| star as i64 + 7;
        assert_eq!(doubt_of_misfits(&chi_square, id), None);
        chi_square[3] = f64::NAN;
        assert_eq!(doubt_of_misfits(&chi_square, id), None, "no pixel");
        (chi_square[5], chi_square[6]) = (275.0, f64::INFINITY);
        let text = doubt_of_misfits(&chi_square, id).unwrap();
        assert!(text.starts_with("2 of 1000 training spectra") && text.contains(": 13, 12. They"), "{text}");
        assert_eq!(doubt_of_misfits(&[100.0, 1e5, 90.0], id), None, "a model that fits no spectrum");
    }
}
