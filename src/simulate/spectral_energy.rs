//! The spectral energy distribution of simulated stars: a smooth closed form in (T_eff, [Fe/H], log g).
//!
//! ln f_abs = ln[ π B_λ(T_eff) (R / 1 kpc)² ] − Σ_k s_k(T_eff, [Fe/H], log g) φ_k(λ),   R² = G M / g
//!
//! Luminosity follows from the labels alone through a smooth mass M(T_eff, [Fe/H], log g). The features stand
//! for what XP spectra show at their resolution (about 10–20 nm): line blanketing, Ca H and K, the G band, Mg
//! b/MgH, Na D, the Balmer and Paschen lines, TiO, the calcium triplet, CN, CO, and the H⁻ opacity minimum at
//! 1.6 µm. They are not a stellar atmosphere: they are informative and smooth, and their size is realistic,
//! which is what a simulation with known truth needs.

use ndarray::Array2;
use std::f64::consts::{LN_10, PI};

/// Labels of a star, in the units of models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labels {
    /// Effective temperature in kK.
    pub teff: f64,
    /// [Fe/H] in dex.
    pub feh: f64,
    /// log₁₀ of the surface gravity in cm s⁻².
    pub logg: f64,
}

/// Solar effective temperature in kK and log g (IAU 2015 nominal values).
const SOLAR_TEFF: f64 = 5.772;
const SOLAR_LOGG: f64 = 4.438;
/// ln (R☉ / 1 kpc).
const LN_SOLAR_RADIUS: f64 = -24.515_458_946_670;
/// 2hc² in W m² and hc/k in nm kK.
const FIRST_RADIATION: f64 = 1.191_042_972e-16;
const SECOND_RADIATION: f64 = 1.438_776_877e4;

impl Labels {
    /// ln(M / M☉): M ∝ T^1.7 on the main sequence, less for the metal-poor, and 1.1 M☉ for giants, joined
    /// smoothly near log g = 3.6.
    pub fn ln_mass(&self) -> f64 {
        let dwarf = logistic((self.logg - 3.6) / 0.4);
        dwarf * (1.7 * (self.teff / SOLAR_TEFF).ln() + 0.25 * self.feh) + (1.0 - dwarf) * 1.1_f64.ln()
    }

    /// ln(R / R☉)² = ln(M / M☉) − ln(g / g☉).
    fn ln_radius_squared(&self) -> f64 {
        self.ln_mass() + LN_10 * (SOLAR_LOGG - self.logg)
    }

    /// Metal abundance to a power: 10^(p [Fe/H]).
    fn metals(&self, power: f64) -> f64 {
        (LN_10 * power * self.feh).exp()
    }

    /// ln(1 + 2 · 10^(0.5 [Fe/H]) exp((T☉ − T)/0.9 kK)): lines of metals, saturating, stronger in cool stars.
    fn metal_lines(&self) -> f64 {
        (2.0 * self.metals(0.5) * ((SOLAR_TEFF - self.teff) / 0.9).exp()).ln_1p()
    }

    /// Hydrogen lines of A stars.
    fn hydrogen_lines(&self) -> f64 {
        logistic((self.teff - 6.9) / 0.6)
    }

    /// Molecules of M stars: grows linearly towards cool stars below 4 kK.
    fn molecules(&self) -> f64 {
        softplus((4.0 - self.teff) / 0.3)
    }

    /// Pressure-sensitive lines of K and M stars: ten times stronger in dwarfs than in giants.
    fn pressure_lines(&self) -> f64 {
        self.metals(0.4) * softplus((5.2 - self.teff) / 0.6) * (1.0 + 0.9 * self.gravity(3.2, 1.2))
    }

    /// exp(−(T − T₀)²/2ΔT²): present at intermediate temperatures only.
    fn around(&self, teff: f64, width: f64) -> f64 {
        (-0.5 * ((self.teff - teff) / width).powi(2)).exp()
    }

    /// σ((log g − g₀)/Δg): one for dwarfs.
    fn dwarf(&self, logg: f64, width: f64) -> f64 {
        logistic((self.logg - logg) / width)
    }

    /// σ((T₀ − T)/ΔT): one for cool stars.
    fn cool(&self, teff: f64, width: f64) -> f64 {
        logistic((teff - self.teff) / width)
    }

    /// tanh((log g − g₀)/Δg).
    fn gravity(&self, logg: f64, width: f64) -> f64 {
        ((self.logg - logg) / width).tanh()
    }
}

/// Shape of a feature over wavelength, φ(λ).
enum Profile {
    /// Σ a exp(−(λ − c)²/2w²): (c, w, a) with c, w in nm.
    Gaussians(&'static [(f64, f64, f64)]),
    /// Σ exp(−(ln λ/c)²/2w²): (c in nm, w in ln λ).
    Broad(&'static [(f64, f64)]),
    /// σ((edge − λ)/width), in nm: absorbs everything bluewards.
    Blue { edge: f64, width: f64 },
}

impl Profile {
    fn at(&self, wavelength: f64) -> f64 {
        let gaussian = |x: f64| (-0.5 * x * x).exp();
        match self {
            Self::Gaussians(terms) => terms.iter().map(|&(c, w, a)| a * gaussian((wavelength - c) / w)).sum(),
            Self::Broad(terms) => terms.iter().map(|&(c, w)| gaussian((wavelength / c).ln() / w)).sum(),
            Self::Blue { edge, width } => logistic((edge - wavelength) / width),
        }
    }
}

/// A feature: its shape, and its depth in ln flux (negative for an excess) as a function of the labels.
struct Feature {
    profile: Profile,
    strength: fn(&Labels) -> f64,
}

const fn feature(profile: Profile, strength: fn(&Labels) -> f64) -> Feature {
    Feature { profile, strength }
}

use Profile::{Blue, Broad, Gaussians};

const FEATURES: [Feature; 17] = [
    // H⁻ opacity minimum at 1.6 µm, and flux that blanketing returns around 560 nm.
    feature(Broad(&[(1620.0, 0.28)]), |s| -0.30 * s.cool(6.8, 0.9)),
    feature(Broad(&[(560.0, 0.28)]), |_| -0.11),
    // Blanketing by metal lines in the blue.
    feature(Blue { edge: 430.0, width: 22.0 }, |s| 0.36 * s.metal_lines()),
    // Ca II H and K.
    feature(Gaussians(&[(395.0, 6.0, 1.0)]), |s| 0.28 * s.metal_lines()),
    // Blends of Fe I.
    feature(Gaussians(&[(438.0, 10.0, 1.0), (495.0, 8.0, 0.5), (527.0, 8.0, 0.7), (537.0, 8.0, 0.4)]), |s| {
        0.10 * s.metal_lines()
    }),
    // G band of CH.
    feature(Gaussians(&[(430.0, 8.0, 1.0)]), |s| 0.20 * s.metals(0.4) * s.around(4.9, 1.1)),
    // Mg b and MgH, Na D.
    feature(Gaussians(&[(517.0, 9.0, 1.0)]), |s| 0.09 * s.pressure_lines()),
    feature(Gaussians(&[(589.0, 6.0, 1.0)]), |s| 0.06 * s.pressure_lines()),
    // Balmer lines Hα … Hε.
    feature(Gaussians(&[(397.0, 7.0, 0.8), (410.0, 8.0, 0.9), (434.0, 8.0, 1.0), (486.0, 8.0, 0.85), (656.0, 7.0, 0.6)]), |s| {
        0.45 * s.hydrogen_lines() * (1.0 - 0.12 * s.gravity(3.8, 1.0))
    }),
    // Confluence of the Balmer and of the Paschen lines, at longer wavelengths when gravity is low.
    feature(Blue { edge: 400.0, width: 5.0 }, |s| 0.25 * s.hydrogen_lines() * (1.0 - 0.6 * s.gravity(4.0, 1.0))),
    feature(Gaussians(&[(880.0, 20.0, 1.0)]), |s| 0.10 * s.hydrogen_lines() * (1.0 - 0.6 * s.gravity(4.0, 1.0))),
    // TiO.
    feature(
        Gaussians(&[
            (590.0, 10.0, 0.4),
            (617.0, 10.0, 0.6),
            (672.0, 14.0, 0.8),
            (710.0, 14.0, 1.0),
            (765.0, 14.0, 0.8),
            (850.0, 16.0, 0.7),
            (890.0, 20.0, 0.5),
        ]),
        |s| 0.26 * s.metals(0.3) * s.molecules(),
    ),
    // K I, Na I and FeH in cool dwarfs.
    feature(Gaussians(&[(769.0, 8.0, 0.5), (819.0, 9.0, 1.0), (990.0, 20.0, 0.8)]), |s| 0.10 * s.molecules() * s.dwarf(4.0, 0.5)),
    // H₂O flattens the 1.6 µm hump of M dwarfs.
    feature(Broad(&[(1662.0, 0.12)]), |s| 0.03 * s.molecules() * s.dwarf(4.0, 0.5)),
    // Calcium triplet: strong in giants.
    feature(Gaussians(&[(855.0, 10.0, 1.0)]), |s| 0.10 * s.metals(0.4) * (1.0 - 0.45 * s.gravity(3.0, 1.2))),
    // CN in giants.
    feature(Gaussians(&[(790.0, 18.0, 0.6), (925.0, 20.0, 1.0)]), |s| {
        0.10 * s.metals(0.5) * (1.0 - s.dwarf(2.8, 0.6)) * s.around(4.6, 0.7)
    }),
    // CO at 2.3 and 4.6 µm: strong in cool giants.
    feature(Broad(&[(2300.0, 0.06), (4650.0, 0.08)]), |s| {
        0.18 * s.metals(0.3) * s.cool(5.0, 0.4) * (1.0 - 0.7 * s.gravity(2.8, 1.2))
    }),
];

/// The spectral energy distribution on fixed wavelengths, with the features' shapes worked out once.
#[derive(Debug, Clone)]
pub struct SpectralEnergy {
    wavelengths: Vec<f64>,
    /// φ_k(λ) `[features, W]`.
    profiles: Array2<f64>,
}

impl SpectralEnergy {
    /// The distribution at `wavelengths` in nm.
    pub fn new(wavelengths: &[f64]) -> Self {
        let profiles =
            Array2::from_shape_fn((FEATURES.len(), wavelengths.len()), |(k, w)| FEATURES[k].profile.at(wavelengths[w]));
        Self { wavelengths: wavelengths.to_vec(), profiles }
    }

    /// ln f_abs `[W]`: the flux at ϖ = 1 mas without dust, in 1e-18 W m⁻² nm⁻¹.
    pub fn ln_flux(&self, labels: &Labels) -> Vec<f64> {
        let dilution = labels.ln_radius_squared() + 2.0 * LN_SOLAR_RADIUS + (PI * FIRST_RADIATION * 1e-9 * 1e18).ln();
        let mut ln_flux: Vec<f64> = self
            .wavelengths
            .iter()
            .map(|wavelength| {
                let exponent = SECOND_RADIATION / (wavelength * labels.teff);
                dilution - 5.0 * (wavelength * 1e-9).ln() - exponent.exp_m1().ln()
            })
            .collect();
        for (feature, profile) in FEATURES.iter().zip(self.profiles.rows()) {
            let strength = (feature.strength)(labels);
            ln_flux.iter_mut().zip(profile).for_each(|(value, shape)| *value -= strength * shape);
        }
        ln_flux
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Sun: 1.86 W m⁻² nm⁻¹ at 550 nm and 0.24 at 1600 nm and 1 au (TSIS-1 HSRS, Coddington et al. 2021),
    /// seen from 1 kpc.
    #[test]
    fn the_sun_has_the_suns_flux() {
        let au_per_kpc: f64 = 206_264_806.247;
        let flux = SpectralEnergy::new(&[550.0, 1600.0]).ln_flux(&Labels { teff: 5.772, feh: 0.0, logg: 4.438 });
        for (ln_flux, irradiance) in flux.iter().zip([1.86, 0.24]) {
            let ratio = ln_flux.exp() * 1e-18 * au_per_kpc.powi(2) / irradiance;
            assert!((ratio - 1.0).abs() < 0.1, "simulated over measured {ratio}"); // observed: 1.04, 1.08
        }
    }

    #[test]
    fn features_have_the_right_sign() {
        let model = SpectralEnergy::new(&[395.0, 517.0, 545.0, 2300.0, 1200.0]);
        let contrast = |labels: Labels, line: usize, beside: usize| {
            let flux = model.ln_flux(&labels);
            flux[line] - flux[beside]
        };
        let (dwarf, giant) = (Labels { teff: 4.5, feh: 0.0, logg: 4.7 }, Labels { teff: 4.5, feh: 0.0, logg: 2.0 });
        assert!(contrast(dwarf, 1, 2) < contrast(giant, 1, 2) - 0.05, "Mg b is stronger in dwarfs");
        assert!(contrast(giant, 3, 4) < contrast(dwarf, 3, 4) - 0.05, "CO is stronger in giants");
        let (rich, poor) = (Labels { teff: 5.8, feh: 0.0, logg: 4.4 }, Labels { teff: 5.8, feh: -2.0, logg: 4.4 });
        assert!(contrast(rich, 0, 2) < contrast(poor, 0, 2) - 0.2, "metals absorb in the blue");
    }
}
