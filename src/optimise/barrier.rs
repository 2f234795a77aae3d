//! A positive quantity that is moved as its logarithm: steps that know that data are a parabola in the quantity itself, with a wall at zero.

/// A coordinate u with ln x = constant + s u, in a loss D − 2 ln x whose D is nearly a parabola in x, as that of an amount of dust is.
///
/// Where x is consistent with zero, no parabola in u follows such a loss far: its steps towards larger x are too long by what an exponential is
/// above its tangent, and those along the plateau at zero too short. In d = (x/x₀ − 1)/s, which is u − u₀ to first order, D is a parabola, and the
/// minimum of a parabola − 2 ln x is a closed form (see [`maximum_a_posteriori`](crate::prior::maximum_a_posteriori)).
///
/// Gradient and curvature of a [`Normal`](super::Normal) with a barrier contain those of −2 ln x as
/// [`positivity`](crate::prior::positivity) has them: −2 s and 2 s².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Barrier {
    /// Which coordinate.
    pub position: usize,
    /// s.
    pub scale: f64,
}

impl Barrier {
    /// d of a change of u.
    pub fn displacement(self, change: f64) -> f64 {
        (self.scale * change).exp_m1() / self.scale
    }

    /// The change of u that a displacement d is; d > −1/s.
    pub fn change(self, displacement: f64) -> f64 {
        (self.scale * displacement).ln_1p() / self.scale
    }

    /// What is added to the curvature of the loss for that of D.
    pub(super) fn curvature_of_data(self) -> f64 {
        -2.0 * self.scale * self.scale
    }

    /// What is added to the gradient of the loss for that of D.
    pub(super) fn gradient_of_data(self) -> f64 {
        2.0 * self.scale
    }

    /// What the loss at a displacement is above the parabola of gradient and curvature.
    pub fn above_parabola(self, displacement: f64) -> f64 {
        let t = self.scale * displacement;
        2.0 * t - t * t - 2.0 * t.ln_1p()
    }

    /// The d that minimises (d − `displacement`)²/(2 `variance`) − 2 ln x.
    pub(super) fn minimum(self, displacement: f64, variance: f64) -> f64 {
        let ratio = 1.0 + self.scale * displacement;
        let square = 8.0 * self.scale * self.scale * variance;
        let root = (ratio * ratio + square).sqrt();
        // For a negative ratio the sum would cancel.
        let ratio = if ratio < 0.0 { 0.5 * square / (root - ratio) } else { 0.5 * (ratio + root) };
        (ratio - 1.0) / self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::maximum_a_posteriori;

    #[test]
    fn the_minimum_is_that_of_a_gaussian_with_a_flat_prior_on_positive_values() {
        for scale in [1.0, 0.4] {
            let barrier = Barrier { position: 0, scale };
            for (value, error, from) in [(0.1, 0.05, 0.3), (-0.1, 0.05, 0.02), (0.0, 0.03, 1.0), (-2.0, 0.01, 0.1)] {
                // D = ((x − value)/error)² with x = from (1 + s d).
                let free = (value / from - 1.0) / scale;
                let variance = 0.5 * (error / (from * scale)).powi(2);
                let x = from * (scale * barrier.change(barrier.minimum(free, variance))).exp();
                assert!((x / maximum_a_posteriori(value, error) - 1.0).abs() < 1e-9, "{value} {error} {from}: {x}");
            }
            let d = barrier.displacement(0.7);
            assert!((barrier.change(d) - 0.7).abs() < 1e-14);
            // −2 ln x against its tangent and the curvature that stands for it.
            let exact = -2.0 * scale * 0.7;
            assert!((-2.0 * scale * d + (scale * d).powi(2) + barrier.above_parabola(d) - exact).abs() < 1e-13);
        }
    }
}
