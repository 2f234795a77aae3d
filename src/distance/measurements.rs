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
    /// The same, should the star be a pair; only beside `ln_distance`, which then is that of a single star.
    pub of_pair: Option<OfPair>,
}

/// What is known of a star's distance should it be a pair of like stars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OfPair {
    /// ln(d/kpc): farther than that of a single star.
    pub ln_distance: Measured,
    /// Fraction of pairs among such stars, before the parallax is looked at.
    pub fraction: f64,
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
        let square = |modulus: Measured| {
            let pull = (x - modulus.value) / modulus.error;
            -0.5 * pull * pull
        };
        let of_magnitude = self.ln_distance.map_or(0.0, |single| match self.of_pair {
            None => square(single),
            Some(pair) => {
                let [of_single, of_pair] = self.logarithms(square(single), square(pair.ln_distance));
                of_single.max(of_pair) + (-(of_single - of_pair).abs()).exp().ln_1p()
            }
        });
        of_parallax + of_magnitude
    }

    /// ln of the two terms of a mixture from their exponents, the constant of the single star's left out.
    #[inline]
    fn logarithms(&self, of_single: f64, of_pair: f64) -> [f64; 2] {
        let (Some(single), Some(pair)) = (self.ln_distance, self.of_pair) else { return [of_single, f64::NEG_INFINITY] };
        [of_single + (-pair.fraction).ln_1p(), of_pair + pair.fraction.ln() + (single.error / pair.ln_distance.error).ln()]
    }

    /// Gradient of the ln likelihood, and the curvature of the problem linearised at x (Gauss–Newton: never
    /// negative).
    pub fn slope_and_precision(&self, x: f64) -> [f64; 2] {
        let inverse_distance = (-x).exp();
        let parallax = self.parallax.map_or([0.0; 2], |parallax| {
            let per_error = inverse_distance / parallax.error;
            [-per_error * (parallax.value - inverse_distance) / parallax.error, per_error * per_error]
        });
        let of = |modulus: Measured| {
            let precision = modulus.error.powi(-2);
            [(modulus.value - x) * precision, precision]
        };
        let magnitude = match (self.ln_distance, self.of_pair) {
            (Some(single), Some(pair)) => {
                let moduli = [single, pair.ln_distance];
                let exponents = moduli.map(|modulus| -0.5 * ((x - modulus.value) / modulus.error).powi(2));
                let [of_single, of_pair] = self.logarithms(exponents[0], exponents[1]);
                let weight = 1.0 / (1.0 + (of_pair - of_single).exp());
                let [single, pair] = moduli.map(of);
                std::array::from_fn(|k| weight * single[k] + (1.0 - weight) * pair[k])
            }
            (single, _) => single.map_or([0.0; 2], of),
        };
        [parallax[0] + magnitude[0], parallax[1] + magnitude[1]]
    }

    /// Where each measurement alone has its maximum, and how wide that is in x.
    pub fn peaks(&self) -> impl Iterator<Item = Measured> {
        let of_parallax = self.parallax.and_then(Self::ln_distance_of_parallax);
        let of_parallax = of_parallax.map(|peak| Measured { error: peak.error.min(WIDEST), ..peak });
        of_parallax.into_iter().chain(self.ln_distance).chain(self.of_pair.map(|pair| pair.ln_distance))
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
        let pair = |value, error| Some(OfPair { ln_distance: Measured { value, error }, fraction: 0.2 });
        for measurements in [
            Measurements { parallax: with(0.4, 0.1), ln_distance: with(1.0, 0.12), of_pair: None },
            Measurements { parallax: with(-0.4, 0.3), ln_distance: with(1.0, 0.3), of_pair: None },
            Measurements { parallax: with(2.0, 0.01), ln_distance: None, of_pair: None },
            Measurements { parallax: None, ln_distance: with(1.0, 0.3), of_pair: None },
            Measurements { parallax: with(0.3, 0.05), ln_distance: with(0.9, 0.1), of_pair: pair(1.25, 0.06) },
            Measurements { parallax: None, ln_distance: with(0.9, 0.1), of_pair: pair(1.25, 0.2) },
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
