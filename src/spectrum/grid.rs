//! Grids of pixels in wavelength (Å): centres, and the edges between them.

use super::Medium;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Pixels that a grid may have; echelle spectra have some hundred thousand.
const MOST_PIXELS: f64 = 1e6;

/// How pixels follow one another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Spacing {
    /// `{ linear = [first, last, step] }`: centres in Å, the last included.
    Linear([f64; 3]),
    /// `{ log = [first, last, step] }`: centres from `first` to `last` (Å) at steps in log10 λ.
    Log([f64; 3]),
}

/// Pixels that follow one another without gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelGrid {
    /// `[W]`, Å, rising.
    centres: Vec<f64>,
    /// `[W + 1]`, Å.
    edges: Vec<f64>,
}

impl PixelGrid {
    /// The grid of a spacing.
    ///
    /// # Errors
    /// When it is empty, not rising, or of more than a million pixels.
    pub fn new(spacing: &Spacing) -> Result<Self> {
        let (is_log, [first, last, step]) = match spacing {
            Spacing::Linear(range) => (false, *range),
            Spacing::Log(range) => (true, *range),
        };
        let (start, end) = if is_log { (first.log10(), last.log10()) } else { (first, last) };
        let n_steps = ((end - start) / step + 1e-9).floor();
        let fault = || {
            Error::usage("grid of the spectra")
                .found(format!("{spacing:?}"))
                .expected("[first, last, step]: Å, and a positive step (Å, or log10 λ), of 2 to 1000000 pixels")
                .remedy("`photosphere recipe prepare-spectra` prints a recipe that works.")
        };
        if !(step > 0.0 && first > 0.0 && n_steps.is_finite() && (1.0..MOST_PIXELS).contains(&n_steps)) {
            return Err(fault());
        }
        let at = |position: f64| if is_log { 10_f64.powf(start + step * position) } else { start + step * position };
        let n = n_steps as usize + 1;
        let edges: Vec<f64> = (0..=n).map(|i| at(i as f64 - 0.5)).collect();
        // Steps below the last digit, and powers beyond the largest number.
        match edges.is_sorted_by(|a, b| a < b) {
            true => Ok(Self { centres: (0..n).map(|i| at(i as f64)).collect(), edges }),
            false => Err(fault()),
        }
    }

    /// The same pixels with their wavelengths in another medium.
    pub fn converted(&self, from: Medium, to: Medium) -> Self {
        let convert = |values: &[f64]| values.iter().map(|&value| from.convert(value, to)).collect();
        Self { centres: convert(&self.centres), edges: convert(&self.edges) }
    }

    /// Centres `[W]`, Å.
    pub fn centres(&self) -> &[f64] {
        &self.centres
    }

    /// Edges `[W + 1]`, Å.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Number of pixels W.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.centres.is_empty()
    }

    /// Names of the pixels: their wavelengths, with as many decimals as tell them apart.
    pub fn names(&self) -> Vec<String> {
        let least = self.centres.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let decimals = (2.0 - least.log10().floor()).clamp(1.0, 12.0) as usize;
        self.centres.iter().map(|centre| format!("{centre:.decimals$}")).collect()
    }
}

/// Bounds of the pixels of a spectrum from its wavelengths `[n]`: half-way to the neighbours; where there
/// is a gap (a step more than three times its neighbours), half a step of the own side.
///
/// # Errors
/// When there are less than two pixels, or the wavelengths are not finite, positive and rising; the first
/// that is not is named.
pub fn pixel_bounds(wavelength: &[f64]) -> Result<Vec<(f64, f64)>> {
    let place = |i: usize| Error::data(format!("wavelengths, pixel {i}"));
    if let Some(i) = wavelength.iter().position(|value| !(value.is_finite() && *value > 0.0)) {
        return Err(place(i)
            .found(wavelength[i].to_string())
            .expected("a positive number of Å")
            .remedy("Check the column of the wavelengths; logarithms are to be named as such (`log_wavelength`)."));
    }
    if let Some(i) = wavelength.windows(2).position(|pair| pair[1] <= pair[0]) {
        return Err(place(i + 1)
            .found(format!("{} after {}", wavelength[i + 1], wavelength[i]))
            .expected("rising wavelengths")
            .remedy(
                "Turn falling spectra round; arms that overlap are spectra of their own, not to be put one after the other.",
            ));
    }
    let n = wavelength.len();
    if n < 2 {
        return Err(Error::data("wavelengths").found(format!("{n} pixels")).expected("at least two"));
    }
    let step = |i: usize| wavelength[i + 1] - wavelength[i];
    let mut bounds = Vec::with_capacity(n);
    let mut low = wavelength[0] - 0.5 * step(0);
    for i in 0..n - 1 {
        let own = step(i);
        let before = if i > 0 { step(i - 1) } else { own };
        let after = if i + 2 < n { step(i + 1) } else { own };
        // Pixels i and i + 1 are apart; at an end there is one neighbour to tell it.
        let is_gap = n > 2 && (i == 0 || own > 3.0 * before) && (i + 2 == n || own > 3.0 * after);
        let (upper, lower) = if is_gap { (before, after) } else { (own, own) };
        bounds.push((low, wavelength[i] + 0.5 * upper));
        low = wavelength[i + 1] - 0.5 * lower;
    }
    bounds.push((low, wavelength[n - 1] + 0.5 * step(n - 2)));
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_and_logarithmic_grids() {
        let linear = PixelGrid::new(&Spacing::Linear([3600.0, 9824.0, 0.8])).unwrap();
        assert_eq!((linear.len(), linear.edges().len()), (7781, 7782));
        assert!((linear.centres()[7780] - 9824.0).abs() < 1e-9 && (linear.edges()[0] - 3599.6).abs() < 1e-9);
        let log = PixelGrid::new(&Spacing::Log([10_f64.powf(3.5682), 9000.0, 1e-4])).unwrap();
        assert!((log.centres()[1] / log.centres()[0]).log10() - 1e-4 < 1e-15);
        assert!(log.centres().iter().zip(log.edges()).all(|(centre, edge)| edge < centre));
        assert_eq!(linear.names()[1], "3600.800");
        let names = log.names();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        for bad in
            [[5000.0, 4000.0, 1.0], [4000.0, 5000.0, 0.0], [4000.0, 5000.0, 1e-9], [f64::NAN, 5000.0, 1.0], [-1.0, 5.0, 1.0]]
        {
            assert_eq!(PixelGrid::new(&Spacing::Linear(bad)).unwrap_err().exit_code(), 2);
            assert!(PixelGrid::new(&Spacing::Log(bad)).is_err());
        }
    }

    #[test]
    fn pixels_end_half_way_and_at_gaps() {
        let bounds = pixel_bounds(&[1.0, 2.0, 3.0, 13.0, 15.0, 17.0]).unwrap();
        assert_eq!(bounds, [(0.5, 1.5), (1.5, 2.5), (2.5, 3.5), (12.0, 14.0), (14.0, 16.0), (16.0, 18.0)]);
        assert_eq!(pixel_bounds(&[1.0, 3.0]).unwrap(), [(0.0, 2.0), (2.0, 4.0)]);
        for (bad, words) in [
            (vec![3.0, 2.0, 1.0], "pixel 1: found 2 after 3"),
            (vec![1.0, f64::NAN], "pixel 1: found NaN"),
            (vec![1.0], "1 pixels"),
            (vec![-1.0, 2.0], "pixel 0"),
        ] {
            let error = pixel_bounds(&bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
