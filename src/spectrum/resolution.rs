//! The resolution matrix of a spectrograph: a band matrix that a model on the pixels' own grid is
//! multiplied with to be compared with the data (Bolton & Schlegel 2010, PASP 122, 248).

use crate::error::{Error, Result};

/// Full width at half maximum of a Gaussian over its standard deviation, 2 √(2 ln 2): a resolving power
/// λ/FWHM is one of a line spread λ/(2.35 R).
pub const FWHM_OF_SIGMA: f64 = 2.354_820_045;

/// The band of one spectrum, as DESI stores it: the second index is the **input** pixel (scipy's
/// `dia_matrix`), the first the diagonal from the uppermost offset down: out\[p\] = Σ_k data\[k\]\[p +
/// o_k\] · model\[p + o_k\], o_k = (ndiag − 1)/2 − k.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolutionMatrix {
    /// `[ndiag, n]`, flattened.
    data: Vec<f32>,
    n_diagonals: usize,
    n: usize,
}

impl ResolutionMatrix {
    /// From its diagonals, `[ndiag, n]` flattened.
    ///
    /// # Errors
    /// When the number of diagonals is even or zero, or does not divide the number of values.
    pub fn new(data: Vec<f32>, n_diagonals: usize) -> Result<Self> {
        if n_diagonals.is_multiple_of(2) || !data.len().is_multiple_of(n_diagonals) {
            return Err(Error::data("resolution matrix")
                .found(format!("{n_diagonals} diagonals and {} values", data.len()))
                .expected("an odd number of diagonals of equal length"));
        }
        let n = data.len() / n_diagonals;
        Ok(Self { data, n_diagonals, n })
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Offsets and weights of the input pixels that enter an output pixel.
    fn row(&self, pixel: usize) -> impl Iterator<Item = (usize, isize, f64)> + '_ {
        let half = (self.n_diagonals / 2) as isize;
        (0..self.n_diagonals).filter_map(move |k| {
            let offset = half - k as isize;
            let input = pixel.checked_add_signed(offset).filter(|&input| input < self.n)?;
            Some((input, offset, f64::from(self.data[k * self.n + input])))
        })
    }

    /// The model as the instrument shows it; both `[n]`, on the pixels of the spectrum and without a
    /// continuum divided out.
    ///
    /// # Panics
    /// When the model has another length.
    pub fn apply(&self, model: &[f64]) -> Vec<f64> {
        assert_eq!(model.len(), self.n, "a model on the pixels of the spectrum");
        (0..self.n).map(|pixel| self.row(pixel).map(|(input, _, weight)| weight * model[input]).sum()).collect()
    }

    /// Sums of the rows `[n]`: 1 within, and less at both ends, where part of the light comes from beyond.
    pub fn row_sums(&self) -> Vec<f64> {
        (0..self.n).map(|pixel| self.row(pixel).map(|(_, _, weight)| weight).sum()).collect()
    }

    /// σ of a Gaussian of the same second moment, in pixels `[n]`; NaN where a row is empty (dead fibres)
    /// or its moment not positive.
    pub fn sigma_pixels(&self) -> Vec<f64> {
        let moments = |pixel: usize| {
            self.row(pixel).fold([0.0; 3], |[sum, mean, square], (_, offset, weight)| {
                let offset = offset as f64;
                [sum + weight, mean + weight * offset, square + weight * offset * offset]
            })
        };
        (0..self.n)
            .map(|pixel| {
                let [sum, mean, square] = moments(pixel);
                let variance = square / sum - (mean / sum).powi(2);
                if sum > 0.0 && variance > 0.0 { variance.sqrt() } else { f64::NAN }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// data[k][j] = 100 k + j, so that every index shows.
    fn crafted() -> ResolutionMatrix {
        ResolutionMatrix::new((0..3).flat_map(|k| (0..5).map(move |j| (100 * k + j) as f32)).collect(), 3).unwrap()
    }

    /// A delta at input pixel q reaches output pixel p = q − o_k with the weight data[k][q].
    #[test]
    fn a_delta_spectrum_gives_the_formula() {
        let matrix = crafted();
        for q in 0..5_usize {
            let mut delta = vec![0.0; 5];
            delta[q] = 1.0;
            let out = matrix.apply(&delta);
            for (p, found) in out.iter().enumerate() {
                let expected = (0..3).find(|k| p as isize + 1 - *k as isize == q as isize).map_or(0.0, |k| (100 * k + q) as f64);
                assert_eq!(*found, expected, "delta at {q}, pixel {p}");
            }
        }
        assert!(ResolutionMatrix::new(vec![0.0; 4], 2).is_err() && ResolutionMatrix::new(vec![0.0; 4], 3).is_err());
    }

    #[test]
    fn widths_of_a_gaussian_band() {
        let (n, sigma) = (30, 1.3_f64);
        let weights: Vec<f64> = (-5..=5).map(|o: i32| (-0.5 * (f64::from(o) / sigma).powi(2)).exp()).collect();
        let total: f64 = weights.iter().sum();
        let data = weights.iter().flat_map(|weight| vec![(weight / total) as f32; n]).collect();
        let matrix = ResolutionMatrix::new(data, 11).unwrap();
        assert!((matrix.row_sums()[15] - 1.0).abs() < 1e-6 && matrix.row_sums()[0] < 0.7);
        // The band ends at 3.8 σ.
        assert!((matrix.sigma_pixels()[15] - sigma).abs() < 0.01, "{}", matrix.sigma_pixels()[15]);
        assert!(ResolutionMatrix::new(vec![0.0; 33], 11).unwrap().sigma_pixels().iter().all(|sigma| sigma.is_nan()));
        assert_eq!((matrix.len(), matrix.is_empty()), (30, false));
    }
}
