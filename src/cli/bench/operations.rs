//! How much arithmetic and traffic each stage needs, by formula.
//!
//! A multiplication, an addition and a transcendental function count as one operation each. Counted is what
//! the method needs, not what an engine happens to do: tangents of labels alone go through the network, and
//! triangles are used as triangles. With layers (in → out), F free parameters, L labels, W fluxes of which B
//! are correlated, and n coefficients of a band at S samples:
//!
//! | what | operations |
//! |---|---|
//! | network N₁ | Σ (2 in·out + 2 out) |
//! | flux and Jacobian | (1 + L) N₁ + W (3 + F) |
//! | L·v, whitening of a vector N₂ | B(B+1) + W − B |
//! | normal equations | flux and Jacobian + (1 + F) N₂ + 2W (1 + F + F(F+1)/2) |
//! | step: normal equations and damped solve | + F³/3 + 2F² |
//! | exact Hessian, forward | (1 + L + L(L+1)/2) N₁ + W (3 + F + F(F+1)/2) + 2 N₂ + 2W F(F+1)/2 |
//! | flux and covariance of XP spectra | Σ over BP, RP (2Sn² + S²n + 2Sn) + 3B(B+1) |
//! | inverse Cholesky factor | ⅔ B³ |

use crate::error::Result;
use crate::model::ForwardModel;
use crate::survey::xp::{DEFAULT_WAVELENGTHS, Instrument};

/// Sizes that decide the counts.
pub struct Operations {
    layers: Vec<(usize, usize)>,
    free: usize,
    fluxes: usize,
    correlated: usize,
}

impl Operations {
    /// Of a model with the standard network, all of whose parameters are free; `None` for other models.
    ///
    /// # Errors
    /// Never for a loaded model.
    pub fn of(model: &ForwardModel) -> Result<Option<Self>> {
        let mut layers = Vec::new();
        let is_kernel = |name: &&String| name.starts_with("emulator.") && name.ends_with(".weight");
        for name in model.weights.names().iter().filter(is_kernel) {
            match model.weights.shape(name)? {
                [inputs, outputs] => layers.push((*inputs, *outputs)),
                _ => return Ok(None),
            }
        }
        let correlated = DEFAULT_WAVELENGTHS.len();
        let sizes = Self { layers, free: model.space.len(), fluxes: model.grid.len(), correlated };
        Ok((!sizes.layers.is_empty()).then_some(sizes))
    }

    fn labels(&self) -> f64 {
        self.layers.first().map_or(0, |layer| layer.0) as f64
    }

    fn network(&self) -> f64 {
        self.layers.iter().map(|&(inputs, outputs)| (2 * inputs * outputs + 2 * outputs) as f64).sum()
    }

    fn whitening(&self) -> f64 {
        (self.correlated * (self.correlated + 1) + self.fluxes - self.correlated) as f64
    }

    /// Normal equations of the flux of a star.
    pub fn normal_equations(&self) -> f64 {
        let (f, w) = (self.free as f64, self.fluxes as f64);
        let jacobian = (1.0 + self.labels()) * self.network() + w * (3.0 + f);
        jacobian + (1.0 + f) * self.whitening() + 2.0 * w * (1.0 + f + f * (f + 1.0) / 2.0)
    }

    /// A step of Levenberg–Marquardt.
    pub fn step(&self) -> f64 {
        let f = self.free as f64;
        self.normal_equations() + f.powi(3) / 3.0 + 2.0 * f * f
    }

    /// The exact Hessian.
    pub fn hessian(&self) -> f64 {
        let (f, l, w) = (self.free as f64, self.labels(), self.fluxes as f64);
        let pairs = f * (f + 1.0) / 2.0;
        let flux = (1.0 + l + l * (l + 1.0) / 2.0) * self.network() + w * (3.0 + f + pairs);
        flux + 2.0 * self.whitening() + 2.0 * w * pairs
    }

    /// Bytes of the data of a star that an evaluation reads: packed whitening, flux, errors, in single
    /// precision.
    pub fn data_bytes(&self) -> f64 {
        let triangle = self.correlated * (self.correlated + 1) / 2;
        (size_of::<f32>() * (triangle + 2 * self.fluxes)) as f64
    }
}

/// Flux and covariance of an XP spectrum at the default samples from all coefficients, with the calibration
/// errors; and its bytes.
///
/// # Errors
/// When the instrument tables cannot be read.
pub fn spectrum() -> Result<(f64, f64)> {
    let instrument = Instrument::standard()?;
    let (n_bp, n_rp) = instrument.n_bases();
    let sampling = instrument.sampling(&DEFAULT_WAVELENGTHS, n_bp, n_rp)?;
    let b = DEFAULT_WAVELENGTHS.len() as f64;
    let (mut operations, mut bytes) = (3.0 * b * (b + 1.0), 4.0 * (b * (b + 1.0) / 2.0 + 2.0 * b));
    for (n, weights) in [(n_bp as f64, &sampling.bp_weight), (n_rp as f64, &sampling.rp_weight)] {
        let s = weights.iter().filter(|weight| **weight > 0.0).count() as f64;
        operations += 2.0 * s * n * n + s * s * n + 2.0 * s * n;
        // Coefficients in double, errors and correlations in single precision.
        bytes += 12.0 * n + 4.0 * n * (n - 1.0) / 2.0;
    }
    Ok((operations, bytes))
}

/// The inverse Cholesky factor of an XP covariance, and the bytes of covariance and factor.
pub fn factor() -> (f64, f64) {
    let b = DEFAULT_WAVELENGTHS.len() as f64;
    (2.0 / 3.0 * b.powi(3), 2.0 * 4.0 * b * (b + 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_standard_model_is_known() {
        // 3 → 32 → 32 → 32 → 66 with E and ϖ, 61 correlated fluxes. By hand: N₁ = 2(96 + 1024 +
        // 1024 + 2112) + 2(96 + 66) = 8836, N₂ = 3787, normal equations = 4·8836 + 66·8 + 6·3787 + 132·21 =
        // 61 366. (Counted in numpy for the design: 63 000.)
        let layers = vec![(3, 32), (32, 32), (32, 32), (32, 66)];
        let operations = Operations { layers, free: 5, fluxes: 66, correlated: 61 };
        assert_eq!(operations.normal_equations(), 61_366.0);
        assert!(operations.step() - operations.normal_equations() < 100.0 && operations.hessian() > operations.step());
        assert_eq!(operations.data_bytes(), 8092.0);
    }

    #[test]
    fn spectra_need_half_a_megaflop() {
        let (operations, bytes) = spectrum().unwrap();
        assert!((3e5..8e5).contains(&operations) && (15e3..30e3).contains(&bytes), "{operations} {bytes}");
    }
}
