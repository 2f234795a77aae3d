//! What is true in a simulated survey: the "true emulator", the true extinction curve, and the stars
//! themselves.

use super::config::SurveyConfig;
use super::identity::Identity;
use super::near_infrared::INFRARED_BANDS;
use super::placement::{Placement, place};
use super::population;
use super::spectral_energy::{Labels, SpectralEnergy};
use crate::error::{Error, Result};
use crate::spectrum::extinction_law::ccm89_optical_depth;
use crate::survey::xp::DEFAULT_WAVELENGTHS;
use rand::Rng;
use rand_distr::StandardNormal;

/// Mean ratio of total to selective extinction; R(λ) is defined with it.
pub const MEAN_R_V: f64 = 3.1;
/// Flux of G = 0 in 1e-18 W m⁻² nm⁻¹ (Vega in the G band, Riello et al. 2021).
const G_ZERO_FLUX: f64 = 2.5e7;
/// Tries to find labels that can be seen in a direction before giving up.
const MAX_DRAWS: usize = 10_000;

/// The 66 wavelengths of a simulated survey in nm: XP, then J, H, Ks, W1, W2.
pub fn wavelengths() -> Vec<f64> {
    DEFAULT_WAVELENGTHS.into_iter().chain(INFRARED_BANDS.iter().map(|band| band.wavelength)).collect()
}

/// ln f_abs `[W]`, flux at ϖ = 1 mas without dust in 1e-18 W m⁻² nm⁻¹, of a single star with T_eff in kK, at
/// wavelengths in nm.
///
/// A smooth, deterministic function of the labels: what an emulator trained on the survey should learn.
pub fn absolute_ln_flux(teff: f64, feh: f64, logg: f64, wavelengths: &[f64]) -> Vec<f64> {
    SpectralEnergy::new(wavelengths).ln_flux(&Labels { teff, feh, logg })
}

/// R(λ), the optical depth per E(B−V) of CCM89 dust with R_V = 3.1, at wavelengths in nm.
///
/// # Errors
/// When a wavelength is outside the law's range.
pub fn true_extinction_curve(wavelengths: &[f64]) -> Result<Vec<f64>> {
    ccm89_optical_depth(wavelengths, MEAN_R_V)
}

/// A simulated star as it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Star {
    pub identity: Identity,
    pub labels: Labels,
    /// Parallax in mas, the inverse of the distance in kpc.
    pub parallax: f64,
    /// E(B−V) in mag.
    pub extinction: f64,
    /// (R_V − 3.1) / scatter; zero without scatter.
    pub xi: f64,
    pub is_binary: bool,
    /// The second star of a binary and its mass over that of the first.
    pub companion: Option<(Labels, f64)>,
    /// Apparent G magnitude.
    pub g: f64,
    /// Apparent flux `[66]` in 1e-18 W m⁻² nm⁻¹.
    pub flux: Vec<f64>,
}

/// Makes true stars.
pub(super) struct Sky {
    spectral_energy: SpectralEnergy,
    /// R(λ) at the mean R_V.
    mean_curve: Vec<f64>,
    wavelengths: Vec<f64>,
    /// Photon-counting weights of the G band on the XP wavelengths, adding up to one.
    g_weights: Vec<f64>,
}

impl Sky {
    pub fn new() -> Result<Self> {
        let wavelengths = wavelengths();
        Ok(Self {
            spectral_energy: SpectralEnergy::new(&wavelengths),
            mean_curve: true_extinction_curve(&wavelengths)?,
            g_weights: g_weights(&DEFAULT_WAVELENGTHS),
            wavelengths,
        })
    }

    pub fn wavelengths(&self) -> &[f64] {
        &self.wavelengths
    }

    pub fn mean_curve(&self) -> &[f64] {
        &self.mean_curve
    }

    /// G magnitude of a flux on the survey's wavelengths.
    pub fn g_magnitude(&self, flux: &[f64]) -> f64 {
        -2.5 * (self.g_weights.iter().zip(flux).map(|(weight, flux)| weight * flux).sum::<f64>() / G_ZERO_FLUX).log10()
    }

    /// Draws everything true about a star.
    ///
    /// # Errors
    /// When no star of the configured phases can be seen within the magnitude limits.
    pub fn star(&self, rng: &mut impl Rng, identity: Identity, config: &SurveyConfig) -> Result<Star> {
        let is_binary = rng.r#gen::<f64>() < config.binary_fraction;
        let xi = rng.sample::<f64, _>(StandardNormal).clamp(-3.0, 3.0);
        let [least, greatest] = config.mass_ratios;
        // Another number only where there is something to be drawn: a sky of twins stays what it was.
        let mass_ratio = if is_binary && least < greatest { rng.gen_range(least..greatest) } else { greatest };
        let n_components = if is_binary && config.are_twins() { 2.0 } else { 1.0 };
        let (labels, companion, ln_flux, Placement { distance, reddening }) = (0..MAX_DRAWS)
            .find_map(|_| {
                let labels = population::draw(rng, &config.phases);
                let companion = is_binary.then(|| population::companion(&labels, mass_ratio));
                let mut ln_flux = self.spectral_energy.ln_flux(&labels);
                if let Some(companion) = companion.filter(|_| !config.are_twins()) {
                    let of_second = self.spectral_energy.ln_flux(&companion);
                    ln_flux.iter_mut().zip(of_second).for_each(|(sum, second)| *sum += (second - *sum).exp().ln_1p());
                }
                let absolute: Vec<f64> = ln_flux[..self.g_weights.len()].iter().map(|value| n_components * value.exp()).collect();
                // Absolute magnitudes are at 10 pc, absolute fluxes at 1 kpc.
                let placement = place(rng, self.g_magnitude(&absolute) - 10.0, &identity, config)?;
                Some((labels, companion, ln_flux, placement))
            })
            .ok_or_else(|| {
                Error::usage("simulated survey, key 'g_limits'")
                    .found(format!("{:?}, in which no star of the phases {:?} can be seen", config.g_limits, config.phases))
                    .expected("limits that stars of these phases reach")
                    .remedy("Widen the limits, or give other phases a share.")
            })?;
        let parallax = 1.0 / distance;
        let own_curve;
        let curve = if config.r_v_scatter > 0.0 {
            own_curve = ccm89_optical_depth(&self.wavelengths, MEAN_R_V + config.r_v_scatter * xi)?;
            &own_curve
        } else {
            &self.mean_curve
        };
        let flux: Vec<f64> = ln_flux
            .iter()
            .zip(curve)
            .map(|(ln_flux, curve)| n_components * parallax * parallax * (ln_flux - reddening * curve).exp())
            .collect();
        let g = self.g_magnitude(&flux);
        let xi = if config.r_v_scatter > 0.0 { xi } else { 0.0 };
        let companion = companion.map(|companion| (companion, mass_ratio));
        Ok(Star { identity, labels, parallax, extinction: reddening, xi, is_binary, companion, g, flux })
    }
}

/// Transmission of the G band times wavelength, interpolated from a coarse table after Riello et al. (2021),
/// adding up to one.
fn g_weights(wavelengths: &[f64]) -> Vec<f64> {
    const FIRST: f64 = 350.0;
    const STEP: f64 = 50.0;
    const TRANSMISSION: [f64; 15] = [0.05, 0.35, 0.57, 0.66, 0.69, 0.72, 0.73, 0.73, 0.70, 0.65, 0.56, 0.43, 0.30, 0.16, 0.05];
    let weight = |wavelength: &f64| {
        let position = ((wavelength - FIRST) / STEP).clamp(0.0, (TRANSMISSION.len() - 1) as f64);
        let knot = (position as usize).min(TRANSMISSION.len() - 2);
        let within = position - knot as f64;
        wavelength * (TRANSMISSION[knot] + within * (TRANSMISSION[knot + 1] - TRANSMISSION[knot]))
    };
    let weights: Vec<f64> = wavelengths.iter().map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absolute_g(teff: f64, feh: f64, logg: f64) -> f64 {
        let flux: Vec<f64> = absolute_ln_flux(teff, feh, logg, &wavelengths()).into_iter().map(f64::exp).collect();
        Sky::new().unwrap().g_magnitude(&flux) - 10.0
    }

    /// The Sun has M_G = 4.67 (Casagrande & VandenBerg 2018), red-clump stars 0.5 (Hawkins et al. 2017), an
    /// M2 dwarf about 9. Observed: 4.69, 0.50, 9.12.
    #[test]
    fn absolute_magnitudes_are_those_of_stars() {
        assert!((absolute_g(5.772, 0.0, 4.438) - 4.67).abs() < 0.1, "{}", absolute_g(5.772, 0.0, 4.438));
        assert!((absolute_g(4.8, -0.1, 2.45) - 0.5).abs() < 0.4, "{}", absolute_g(4.8, -0.1, 2.45));
        assert!((absolute_g(3.6, 0.0, 4.78) - 9.0).abs() < 0.7, "{}", absolute_g(3.6, 0.0, 4.78));
    }

    /// The curve is scaled to E(B−V): at V its optical depth is 3.1/1.0857, in W2 a few per cent of that.
    #[test]
    fn extinction_curve_falls_from_blue_to_infrared() {
        let curve = true_extinction_curve(&wavelengths()).unwrap();
        assert!(curve.windows(2).all(|pair| pair[0] > pair[1]), "{curve:?}");
        assert!((curve[15] - 3.1 / 1.0857).abs() < 0.1 && curve[65] < 0.15, "{} {}", curve[15], curve[65]);
    }
}
