//! What is measured of one star's distance, and its likelihood as a function of x = ln d (kpc).

use super::magnitude::LN_DISTANCE_PER_MAGNITUDE;
use crate::statistics::Measured;

/// A parallax with a Gaussian error in mas (Xiang et al. 2021, eq. 21), and a modulus with a Gaussian error
/// in magnitudes (eqs. 22, 23), which is one in ln d.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurements {
    /// mas; of any sign.
    pub parallax: Option<Measured>,
    /// ln(d/kpc) of magnitude, absolute magnitude and extinction, or of a spectro-photometric parallax.
    pub ln_distance: Option<Measured>,
}

impl Measurements {
    /// ln d of a modulus m − M − A and its error, both in mag.
    pub fn ln_distance_of_modulus(modulus: Measured) -> Measured {
        Measured { value: LN_DISTANCE_PER_MAGNITUDE * (modulus.value - 10.0), error: LN_DISTANCE_PER_MAGNITUDE * modulus.error }
    }

    /// ln d of a parallax in mas; `None` where that is not positive.
    pub fn ln_distance_of_parallax(parallax: Measured) -> Option<Measured> {
        (parallax.value > 0.0).then(|| Measured { value: -parallax.value.ln(), error: parallax.error / parallax.value })
    }

    /// ln likelihood without its constants, at 1/d = e^(−x).
    #[inline]
    pub fn ln_likelihood(&self, x: f64, inverse_distance: f64) -> f64 {
        let of_parallax = self.parallax.map_or(0.0, |parallax| {
            let pull = (parallax.value - inverse_distance) / parallax.error;
            -0.5 * pull * pull
        });
        let of_magnitude = self.ln_distance.map_or(0.0, |modulus| {
            let pull = (x - modulus.value) / modulus.error;
            -0.5 * pull * pull
        });
        of_parallax + of_magnitude
    }

    /// Gradient of the ln likelihood, and the curvature of the problem linearised at x (Gauss–Newton: never
    /// negative).
    pub fn slope_and_precision(&self, x: f64) -> [f64; 2] {
        let inverse_distance = (-x).exp();
        let parallax = self.parallax.map_or([0.0; 2], |parallax| {
            let per_error = inverse_distance / parallax.error;
            [-per_error * (parallax.value - inverse_distance) / parallax.error, per_error * per_error]
        });
        let magnitude = self.ln_distance.map_or([0.0; 2], |modulus| {
            let precision = modulus.error.powi(-2);
            [(modulus.value - x) * precision, precision]
        });
        [parallax[0] + magnitude[0], parallax[1] + magnitude[1]]
    }

    /// Where each measurement alone has its maximum, and how wide that is in x.
    pub fn peaks(&self) -> impl Iterator<Item = Measured> {
        let of_parallax = self.parallax.and_then(Self::ln_distance_of_parallax);
        let of_parallax = of_parallax.map(|peak| Measured { error: peak.error.min(WIDEST), ..peak });
        of_parallax.into_iter().chain(self.ln_distance)
    }

    /// The maximum of the likelihood near x, by Gauss–Newton steps of bounded length; and its width.
    pub fn climb(&self, mut x: f64) -> Measured {
        const STEPS: usize = 12;
        for _ in 0..STEPS {
            let [slope, precision] = self.slope_and_precision(x);
            let step = if precision > 0.0 { (slope / precision).clamp(-1.0, 1.0) } else { 0.0 };
            x += step;
            if step.abs() * precision.sqrt() < 1e-3 {
                break;
            }
        }
        Measured { value: x, error: self.width(x) }
    }

    /// How far x must go from here for the likelihood to change.
    pub fn width(&self, x: f64) -> f64 {
        self.slope_and_precision(x)[1].sqrt().recip().min(WIDEST)
    }
}

/// No density of a distance is wider than this in x for the choice of a grid.
const WIDEST: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::central_difference;

    #[test]
    fn slopes_are_differences_and_climbs_end_at_maxima() {
        let with = |value, error| Some(Measured { value, error });
        for measurements in [
            Measurements { parallax: with(0.4, 0.1), ln_distance: with(1.0, 0.12) },
            Measurements { parallax: with(-0.4, 0.3), ln_distance: with(1.0, 0.3) },
            Measurements { parallax: with(2.0, 0.01), ln_distance: None },
            Measurements { parallax: None, ln_distance: with(1.0, 0.3) },
        ] {
            let function = |x: &[f64]| measurements.ln_likelihood(x[0], (-x[0]).exp());
            for x in [0.3, 0.8, 1.4] {
                let [slope, _] = measurements.slope_and_precision(x);
                let expected = central_difference(function, &[x])[0];
                assert!((slope - expected).abs() < 1e-7 * expected.abs().max(1.0), "{slope} is not {expected}");
            }
            let peak = measurements.climb(0.5);
            let [slope, precision] = measurements.slope_and_precision(peak.value);
            assert!(slope.abs() < 0.01 * precision.sqrt(), "{measurements:?}: {slope}");
        }
    }
}
