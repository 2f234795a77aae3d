//! Values between pixels: a sinc under a Kaiser window, whose shares sum to one. Smooth in the place that is
//! asked for, and right to 10⁻³ of a line's depth for lines of 2.4 pixels FWHM, which cubic interpolation
//! blurs.

use std::f64::consts::PI;

/// Pixels that take part in a value.
pub(super) const TAPS: usize = 16;
/// Pixels before the one at or below the place.
pub(super) const BEFORE: usize = TAPS / 2 - 1;
/// Shape of the Kaiser window: ripples of 10⁻⁴.
const SHAPE: f64 = 7.0;
/// Places within a pixel for which shares are tabulated.
const STEPS: usize = 512;

/// Shares of pixels and their derivatives by the place.
pub(super) type Shares = ([f64; TAPS], [f64; TAPS]);

/// Shares for all places within a pixel.
#[derive(Debug, Clone)]
pub(super) struct Interpolation {
    table: Vec<Shares>,
}

impl Interpolation {
    pub fn new() -> Self {
        Self { table: (0..=STEPS).map(|step| exact(step as f64 / STEPS as f64)).collect() }
    }

    /// Shares at a place `t` from 0 to 1 behind a pixel, by cubics between the tabulated ones.
    pub fn at(&self, t: f64) -> Shares {
        let place = t.clamp(0.0, 1.0) * STEPS as f64;
        let step = (place as usize).min(STEPS - 1);
        let (u, h) = (place - step as f64, 1.0 / STEPS as f64);
        let (a, b) = (&self.table[step], &self.table[step + 1]);
        let (u2, u3) = (u * u, u * u * u);
        let value = [2.0 * u3 - 3.0 * u2 + 1.0, u3 - 2.0 * u2 + u, 3.0 * u2 - 2.0 * u3, u3 - u2];
        let slope = [6.0 * u2 - 6.0 * u, 3.0 * u2 - 4.0 * u + 1.0, 6.0 * u - 6.0 * u2, 3.0 * u2 - 2.0 * u];
        let mix = |c: &[f64; 4], m: usize| c[0] * a.0[m] + c[1] * h * a.1[m] + c[2] * b.0[m] + c[3] * h * b.1[m];
        (std::array::from_fn(|m| mix(&value, m)), std::array::from_fn(|m| mix(&slope, m) / h))
    }
}

fn exact(t: f64) -> Shares {
    let half = (TAPS / 2) as f64;
    let of = |m: usize| {
        let x = t - (m as f64 - BEFORE as f64);
        let (sinc, sinc_slope) = match x.abs() < 1e-9 {
            true => (1.0, 0.0),
            false => ((PI * x).sin() / (PI * x), ((PI * x).cos() - (PI * x).sin() / (PI * x)) / x),
        };
        let root = (1.0 - (x / half).powi(2)).max(0.0).sqrt();
        // Less one, so that it is zero at the edge, where a pixel leaves and its slope may not jump.
        let height = bessel(SHAPE, 0) - 1.0;
        let window = (bessel(SHAPE * root, 0) - 1.0) / height;
        // I₀′ = I₁, and I₁(z)/z is finite at the edge.
        let over = if root > 1e-9 { bessel(SHAPE * root, 1) / (SHAPE * root) } else { 0.5 };
        let window_slope = -SHAPE * SHAPE * over * x / (half * half) / height;
        (sinc * window, sinc_slope * window + sinc * window_slope)
    };
    let all: [(f64, f64); TAPS] = std::array::from_fn(of);
    let (sum, slope) = all.iter().fold((0.0, 0.0), |(sum, slope), (value, own)| (sum + value, slope + own));
    (all.map(|(value, _)| value / sum), all.map(|(value, own)| (own - value * slope / sum) / sum))
}

/// The modified Bessel function of order 0 or 1, by its series.
fn bessel(z: f64, order: i32) -> f64 {
    let quarter = 0.25 * z * z;
    let mut term = (0.5 * z).powi(order);
    let mut sum = term;
    for k in 1..60 {
        term *= quarter / (f64::from(k) * f64::from(k + order));
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::central_difference;

    #[test]
    fn lines_are_found_between_pixels() {
        // scipy 1.17.1: scipy.special.i0(7.0), i1(3.5).
        assert!((bessel(7.0, 0) - 168.593_908_510_289_7).abs() < 1e-9 && (bessel(3.5, 1) - 6.205_834_922_258_368).abs() < 1e-12);
        let interpolation = Interpolation::new();
        // FWHM 2.4 pixels, LAMOST's.
        let line = |x: f64| 1.0 - 0.5 * (-0.5 * (x / (2.4 / 2.3548)).powi(2)).exp();
        let found = |x: f64, slope: bool| {
            let (pixel, t) = (x.floor(), x - x.floor());
            let shares = interpolation.at(t);
            let shares = if slope { shares.1 } else { shares.0 };
            (0..TAPS).map(|m| shares[m] * line(pixel + m as f64 - BEFORE as f64)).sum::<f64>()
        };
        let mut worst = 0.0_f64;
        for i in -400..400 {
            let x = f64::from(i) / 100.0 + 0.0031;
            worst = worst.max((found(x, false) - line(x)).abs());
            let difference = central_difference(|x| found(x[0], false), &[x])[0];
            // Seen: 4e-6, of the cubics between tabulated shares.
            assert!((found(x, true) - difference).abs() < 2e-5, "{x}: {} {difference}", found(x, true));
        }
        println!("{worst:.2e}");
        assert!(worst < 5e-4, "{worst:e}");
        // At a pixel its own value, and nothing jumps there.
        for x in [0.0, 1.0, -2.0] {
            assert!((found(x, false) - line(x)).abs() < 1e-12);
            assert!((found(x + 1e-9, true) - found(x - 1e-9, true)).abs() < 1e-4);
        }
    }
}
