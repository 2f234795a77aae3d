//! Gaussian constraint ((x − x̂)/σ)² on a parameter x, seen from the coordinate in which it is optimised.
//!
//! Source: Zhang, Green & Rix 2023, eqs. 13 and 19.

use super::Term;
use crate::error::{Error, Result};

/// A parameter's value with its first derivative with respect to the coordinate c that moves it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinate {
    /// x(c).
    pub value: f64,
    /// dx/dc.
    pub derivative: f64,
}

impl Coordinate {
    /// x = `centre` + `scale`·c.
    pub fn linear(coordinate: f64, centre: f64, scale: f64) -> Self {
        Self { value: centre + scale * coordinate, derivative: scale }
    }

    /// x = exp c.
    pub fn logarithmic(coordinate: f64) -> Self {
        let value = coordinate.exp();
        Self { value, derivative: value }
    }
}

/// An independent measurement x̂ ± σ of a parameter. An infinite σ is no measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianConstraint {
    value: f64,
    error: f64,
}

impl GaussianConstraint {
    /// # Errors
    /// `Data` where the error is not positive (it may be infinite), or finite around a value that is not
    /// finite.
    pub fn new(value: f64, error: f64) -> Result<Self> {
        if error <= 0.0 || error.is_nan() {
            return Err(Error::data("Gaussian constraint")
                .found(format!("the error {error}"))
                .expected("a positive error")
                .remedy("Give an infinite error to a parameter without a measurement."));
        }
        if error.is_finite() && !value.is_finite() {
            return Err(Error::data("Gaussian constraint")
                .found(format!("{value} ± {error}"))
                .expected("a finite value")
                .remedy("Leave value and error empty where there is no measurement."));
        }
        Ok(Self { value, error })
    }

    /// 1/σ²: zero without a measurement.
    pub fn information(&self) -> f64 {
        self.error.powi(-2)
    }

    /// Loss, gradient 2 r r' and Gauss–Newton curvature 2 r'² of r², r = (x − x̂)/σ; zero without a
    /// measurement.
    pub fn term(&self, coordinate: Coordinate) -> Term {
        if self.error.is_infinite() {
            return Term::default();
        }
        let residual = (coordinate.value - self.value) / self.error;
        let slope = coordinate.derivative / self.error;
        Term { loss: residual * residual, gradient: 2.0 * residual * slope, curvature: 2.0 * slope * slope }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::central_difference;

    #[test]
    fn gradients_agree_with_differences_in_both_coordinates() {
        let constraint = GaussianConstraint::new(0.3, 0.05).unwrap();
        let transforms: [fn(f64) -> Coordinate; 2] = [|c| Coordinate::linear(c, 0.1, 2.0), Coordinate::logarithmic];
        for transform in transforms {
            for c in [-3.0, -0.2, 0.4] {
                let term = constraint.term(transform(c));
                let expected = central_difference(|c| constraint.term(transform(c[0])).loss, &[c])[0];
                assert!((term.gradient / expected - 1.0).abs() < 1e-8, "{} {expected}", term.gradient);
            }
        }
        // Linear in c: the curvature is exact, 2 (2/0.05)².
        assert!((constraint.term(Coordinate::linear(7.0, 0.1, 2.0)).curvature - 3200.0).abs() < 1e-9);
    }

    #[test]
    fn missing_measurements_add_nothing_and_impossible_ones_are_refused() {
        let missing = GaussianConstraint::new(f64::NAN, f64::INFINITY).unwrap();
        assert_eq!(missing.term(Coordinate::logarithmic(3.0)), Term::default());
        for (value, error) in [(1.0, 0.0), (1.0, -1.0), (1.0, f64::NAN), (f64::NAN, 1.0)] {
            assert!(GaussianConstraint::new(value, error).is_err());
        }
    }
}
