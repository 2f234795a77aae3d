//! Near-infrared photometry of simulated stars: 2MASS J, H, Ks and WISE W1, W2, with errors and missing
//! bands.
//!
//! A magnitude error is √(0.02² + (0.1086 · 10^(0.4 (m − m₁₀)))²), with m₁₀ the Vega magnitude at
//! signal-to-noise 10 of a background-limited survey; a flux error is 0.4 ln 10 · σ_m · f of the true flux f.
//! Bands are missing in crowded fields (2MASS and WISE each as a whole), near the limit, and now and then.

use super::config::SurveyConfig;
use rand::Rng;
use rand_distr::StandardNormal;
use std::f64::consts::LN_10;

/// A near-infrared band.
pub(super) struct InfraredBand {
    pub name: &'static str,
    /// Wavelength in nm.
    pub wavelength: f64,
    /// AB minus Vega magnitude (eq. 5 of Zhang, Green & Rix 2023).
    vega_offset: f64,
    /// Vega magnitude of signal-to-noise 10.
    ten_sigma: f64,
    survey: Survey,
}

#[derive(Clone, Copy, PartialEq)]
enum Survey {
    TwoMass,
    Wise,
}

use Survey::{TwoMass, Wise};

pub(super) const INFRARED_BANDS: [InfraredBand; 5] = [
    InfraredBand { name: "j", wavelength: 1235.0, vega_offset: 0.91, ten_sigma: 15.8, survey: TwoMass },
    InfraredBand { name: "h", wavelength: 1662.0, vega_offset: 1.39, ten_sigma: 15.1, survey: TwoMass },
    InfraredBand { name: "ks", wavelength: 2159.0, vega_offset: 1.85, ten_sigma: 14.3, survey: TwoMass },
    InfraredBand { name: "w1", wavelength: 3352.6, vega_offset: 2.699, ten_sigma: 16.2, survey: Wise },
    InfraredBand { name: "w2", wavelength: 4602.8, vega_offset: 3.339, ten_sigma: 14.9, survey: Wise },
];

const MAGNITUDE_FLOOR: f64 = 0.02;
/// Photometry below this signal-to-noise is not published.
const LEAST_SIGNAL_TO_NOISE: f64 = 5.0;

impl InfraredBand {
    /// Vega magnitude of a flux in 1e-18 W m⁻² nm⁻¹: f = 3631 Jy · c/λ² · 10^(−0.4 (m + Δm)).
    pub fn magnitude(&self, flux: f64) -> f64 {
        let metres = self.wavelength * 1e-9;
        let zero = 3631e-26 * 299_792_458.0 / (metres * metres) * 1e-9 * 1e18;
        -2.5 * (flux / zero).log10() - self.vega_offset
    }

    /// Error in mag from photon and background noise alone.
    fn photon_error(&self, magnitude: f64) -> f64 {
        0.1086 * 10_f64.powf(0.4 * (magnitude - self.ten_sigma))
    }
}

/// Observed flux and error of every band from true fluxes in 1e-18 W m⁻² nm⁻¹; NaN in both where the band is
/// missing.
pub(super) fn observe(rng: &mut impl Rng, true_flux: &[f64], latitude: f64, config: &SurveyConfig) -> [(f64, f64); 5] {
    let crowded = 0.04 + 0.12 * (-latitude.abs() / 10.0).exp();
    let crowded_in: [bool; 2] =
        [crowded, 1.2 * crowded].map(|probability| rng.r#gen::<f64>() < config.infrared_missing * probability);
    let mut observed = [(f64::NAN, f64::NAN); 5];
    for ((band, &flux), observed) in INFRARED_BANDS.iter().zip(true_flux).zip(&mut observed) {
        let magnitude = band.magnitude(flux);
        let photon_error = band.photon_error(magnitude);
        let deviate: f64 = rng.sample(StandardNormal);
        // Missing for the band alone: seldom when bright, often near the limit.
        let alone = 0.02 + 0.25 / (1.0 + (-(magnitude - band.ten_sigma) / 0.5).exp());
        let lost = rng.r#gen::<f64>() < config.infrared_missing * alone;
        let crowded = crowded_in[usize::from(band.survey == Wise)];
        if !lost && !crowded && photon_error * LEAST_SIGNAL_TO_NOISE < 2.5 / LN_10 {
            let error = 0.4 * LN_10 * MAGNITUDE_FLOOR.hypot(photon_error) * flux;
            *observed = (flux + error * deviate, error);
        }
    }
    observed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vega magnitude zero: 2MASS J 3.13e-12 W m⁻² nm⁻¹ (Cohen et al. 2003: 3.129e-13 W cm⁻² µm⁻¹), to the 1
    /// % of eq. 5's Δm.
    #[test]
    fn zero_points_are_those_of_the_surveys() {
        let magnitude = INFRARED_BANDS[0].magnitude(3.129e6);
        assert!(magnitude.abs() < 0.02, "{magnitude}");
    }
}
