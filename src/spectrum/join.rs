//! Arms and exposures of a star, joined on the common grid by the mean with inverse variances as weights.
//! They are never put one after the other: arms overlap, and each has to be masked before.

use super::Resampled;

/// Relative error of a level above which it is not known.
const LARGEST_LEVEL_ERROR: f64 = 0.1;

/// Sums over arms and exposures `[W]`.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Σ ivar.
    weight: Vec<f64>,
    /// Σ ivar · flux.
    flux: Vec<f64>,
    /// Σ ivar · other, and Σ ivar of those that have it.
    other: Vec<f64>,
    other_weight: Vec<f64>,
    n_parts: usize,
}

impl Joined {
    /// Nothing yet, on a grid of W pixels.
    pub fn new(w: usize) -> Self {
        Self { weight: vec![0.0; w], flux: vec![0.0; w], other: vec![0.0; w], other_weight: vec![0.0; w], n_parts: 0 }
    }

    /// Adds an arm or an exposure on the same grid; its missing pixels add nothing.
    pub fn add(&mut self, part: &Resampled) {
        self.n_parts += 1;
        for (j, (&flux, &ivar)) in part.flux.iter().zip(&part.ivar).enumerate() {
            // Selected, not multiplied: 0 · NaN is NaN.
            if ivar > 0.0 && flux.is_finite() {
                self.weight[j] += ivar;
                self.flux[j] += ivar * flux;
                if let Some(other) = part.other.get(j).filter(|other| other.is_finite()) {
                    self.other[j] += ivar * other;
                    self.other_weight[j] += ivar;
                }
            }
        }
    }

    /// The factor that brings `part` to the level of what was added, and its standard error: the ratio of the
    /// sums over the pixels that both have, with weights by their variances. `None` where these sums are
    /// noise.
    pub fn level_of(&self, part: &Resampled) -> Option<(f64, f64)> {
        let (mut sums, mut variances) = ([0.0; 2], [0.0; 2]);
        for (j, (&flux, &ivar)) in part.flux.iter().zip(&part.ivar).enumerate() {
            let own = self.weight[j];
            if ivar > 0.0 && flux.is_finite() && own > 0.0 {
                let weight = own * ivar / (own + ivar);
                for (k, (flux, ivar)) in [(self.flux[j] / own, own), (flux, ivar)].into_iter().enumerate() {
                    sums[k] += weight * flux;
                    variances[k] += weight * weight / ivar;
                }
            }
        }
        let relative = |k: usize| variances[k].sqrt() / sums[k];
        let is_known = |k: usize| sums[k] > 0.0 && relative(k) < LARGEST_LEVEL_ERROR;
        let factor = sums[0] / sums[1];
        (is_known(0) && is_known(1)).then(|| (factor, factor * relative(0).hypot(relative(1))))
    }

    /// Number of parts that were added.
    pub fn n_parts(&self) -> usize {
        self.n_parts
    }

    /// The joined spectrum.
    pub fn finish(self) -> Resampled {
        let mean = |sum: &[f64], weight: &[f64]| -> Vec<f64> {
            sum.iter().zip(weight).map(|(sum, weight)| if *weight > 0.0 { sum / weight } else { f64::NAN }).collect()
        };
        let has_other = self.other_weight.iter().any(|&weight| weight > 0.0);
        Resampled {
            flux: mean(&self.flux, &self.weight),
            other: if has_other { mean(&self.other, &self.other_weight) } else { Vec::new() },
            ivar: self.weight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_common_pixels() {
        let part = |flux: &[f64], ivar: &[f64]| Resampled { flux: flux.into(), ivar: ivar.into(), other: Vec::new() };
        let mut joined = Joined::new(4);
        joined.add(&part(&[2.0, 4.0, 6.0, 9.0], &[100.0, 100.0, 100.0, 0.0]));
        // Half of it, and a pixel that is not common.
        let (factor, error) = joined.level_of(&part(&[1.0, 2.0, f64::NAN, 70.0], &[400.0, 400.0, 0.0, 1.0])).unwrap();
        // Sums 6 and 3 of two pixels, with errors √2 · 0.1 and √2 · 0.05.
        assert!((factor - 2.0).abs() < 1e-12 && (error - 2.0 * 2.0_f64.sqrt() * (0.1_f64 / 6.0).hypot(0.05 / 3.0)).abs() < 1e-12);
        assert!(joined.level_of(&part(&[1.0; 4], &[0.0; 4])).is_none());
        assert!(joined.level_of(&part(&[-1.0; 4], &[1e4; 4])).is_none());
        assert!(joined.level_of(&part(&[1.0; 4], &[1e-4; 4])).is_none(), "noise");
    }

    #[test]
    fn overlaps_are_means_and_missing_pixels_add_nothing() {
        let nan = f64::NAN;
        let part = |flux: &[f64], ivar: &[f64]| Resampled { flux: flux.into(), ivar: ivar.into(), other: vec![2.0; 4] };
        let mut joined = Joined::new(4);
        joined.add(&part(&[1.0, 2.0, nan, nan], &[1.0, 3.0, 0.0, 0.0]));
        joined.add(&part(&[nan, 4.0, 5.0, nan], &[0.0, 1.0, 2.0, 7.0]));
        assert_eq!(joined.n_parts(), 2);
        let joined = joined.finish();
        assert_eq!((&joined.flux[..3], &joined.ivar[..]), (&[1.0, 2.5, 5.0][..], &[1.0, 4.0, 2.0, 0.0][..]));
        assert!(joined.flux[3].is_nan() && joined.other[..3] == [2.0; 3]);
    }
}
