//! Extinction in photometric bands by T_eff, [Fe/H] and the amount of dust.
//!
//! ```text
//! A_band = A₀ k(X, A₀)      X = T_eff/5040 K,  A₀ = R_V E(B−V)
//! k = Σ_n t_n Xⁿ + Σ_n a_n A₀ⁿ + m₁ X A₀ + m₂ X² A₀ + m₃ X A₀² + z [Fe/H]
//! ```
//!
//! The form, and the default numbers of Gaia's and 2MASS' bands, are those of the Gaia EDR3 extinction law of
//! DPAC (Riello et al. 2021, A&A 649, A3; table `Fitz19_EDR3_MainSequence` of "Gaia EDR3 extinction law" on
//! the pages of the mission: the law of Fitzpatrick et al. 2019 at R₀ = 3.1 on Kurucz spectra of solar
//! metallicity, 3500 to 10 000 K and 0.01 to 20 mag; good to 1 to 3.5 % in Gaia's bands), rounded to six
//! digits. It has no [Fe/H]; a recipe may give a slope.

use serde::{Deserialize, Serialize};

/// T_eff at which X = 1, K.
const UNIT_TEMPERATURE: f64 = 5040.0;
/// Temperatures for which the table was made, K; beyond them k is that at the nearest end.
const TEMPERATURES: [f64; 2] = [3500.0, 10_000.0];
/// The largest A₀ of the table, mag.
const LARGEST_EXTINCTION: f64 = 20.0;

/// A photometric band: columns, and A/A₀.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// What `luminosity_bands` call it.
    pub name: String,
    /// Column of magnitudes; an empty one is found by the names that surveys use, `none` is not there.
    #[serde(default)]
    pub magnitude: String,
    /// Column of their errors, the same.
    #[serde(default)]
    pub magnitude_error: String,
    /// t₀ … t₃.
    pub temperature: [f64; 4],
    /// a₁ … a₃.
    #[serde(default)]
    pub extinction: [f64; 3],
    /// m₁ … m₃.
    #[serde(default)]
    pub mixed: [f64; 3],
    /// z, per dex.
    #[serde(default)]
    pub metallicity: f64,
}

/// A of a band and its derivative by E(B−V).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BandExtinction {
    pub value: f64,
    pub per_reddening: f64,
}

impl Band {
    /// The extinction of a star behind a reddening E(B−V), which may be negative, being measured: it is then
    /// that of little dust, times E. Metallicities that are not known (NaN) count as solar.
    pub fn extinction_at(&self, teff: f64, feh: f64, reddening: f64, r_v: f64) -> BandExtinction {
        let x = teff.clamp(TEMPERATURES[0], TEMPERATURES[1]) / UNIT_TEMPERATURE;
        let dust = (r_v * reddening).clamp(0.0, LARGEST_EXTINCTION);
        let [t0, t1, t2, t3] = self.temperature;
        let [a1, a2, a3] = self.extinction;
        let [m1, m2, m3] = self.mixed;
        let of_metals = if feh.is_nan() { 0.0 } else { self.metallicity * feh };
        let without = t0 + x * (t1 + x * (t2 + x * t3)) + of_metals;
        let k = without + dust * (a1 + dust * (a2 + dust * a3)) + x * dust * (m1 + m2 * x + m3 * dust);
        let slope = a1 + dust * (2.0 * a2 + 3.0 * dust * a3) + x * (m1 + m2 * x + 2.0 * m3 * dust);
        BandExtinction { value: r_v * reddening * k, per_reddening: r_v * (k + dust * slope) }
    }

    /// Names by which the column of magnitudes is found.
    pub(super) fn candidates(&self) -> Vec<String> {
        let common: &[&str] = match self.name.as_str() {
            "g" => &["phot_g_mean_mag"],
            "bp" => &["phot_bp_mean_mag"],
            "rp" => &["phot_rp_mean_mag"],
            "j" => &["j_m", "jmag"],
            "h" => &["h_m", "hmag"],
            "ks" => &["k_mag", "ks_m", "k_m", "kmag", "ksmag"],
            _ => &[],
        };
        std::iter::once(format!("{}_mag", self.name)).chain(common.iter().map(|name| (*name).to_owned())).collect()
    }
}

/// Name and t, a, m of the default bands.
type Row = (&'static str, [f64; 4], [f64; 3], [f64; 3]);

#[rustfmt::skip]
const TABLE: [Row; 6] = [
    ("bp", [0.888089, 0.113184, 0.0846338, -0.0371266], [-0.00296141, 5.38661e-4, -1.31018e-5], [-0.0164152, 0.00323902, 1.69011e-4]),
    ("g", [0.259022, 0.936761, -0.437446, 0.0783508], [-0.00136127, 7.97223e-4, -2.52365e-5], [-0.0299815, 0.00555506, 4.02778e-4]),
    ("rp", [0.382720, 0.505895, -0.314981, 0.0665302], [-0.00383780, 6.50491e-5, 1.57894e-6], [-0.00348741, 0.00110877, -1.83131e-5]),
    ("j", [0.340107, -0.00783011, 0.00845429, -0.00224716], [-1.40507e-4, 3.20813e-7, 2.33929e-9], [-1.67306e-5, 4.55068e-6, -7.92079e-8]),
    ("h", [0.251194, 0.00557241, -0.00255554, 3.64711e-4], [-5.53631e-5, 2.66365e-8, 7.26632e-10], [-1.63127e-5, 5.01044e-6, -1.60304e-8]),
    ("ks", [0.187733, 0.0135900, -0.00949752, 0.00215386], [-2.90629e-5, 9.85596e-9, 1.22296e-10], [0.0; 3]),
];

/// BP, G, RP, J, H, K_s.
pub fn default_bands() -> Vec<Band> {
    let bands = TABLE.iter().map(|(name, temperature, extinction, mixed)| Band {
        name: (*name).to_owned(),
        magnitude: String::new(),
        magnitude_error: String::new(),
        temperature: *temperature,
        extinction: *extinction,
        mixed: *mixed,
        metallicity: 0.0,
    });
    bands.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::central_difference;

    /// numpy 2.4.6 with the table's digits: 3.1 E k of (T_eff, E) = (5777, 0.1) and (4200, 1).
    #[test]
    fn extinctions_are_those_of_the_published_table() {
        for (band, expected) in default_bands().iter().zip(EXPECTED) {
            for ((teff, reddening), expected) in [(5777.0, 0.1), (4200.0, 1.0)].into_iter().zip(expected) {
                let found = band.extinction_at(teff, 0.0, reddening, 3.1).value;
                assert!((found / expected - 1.0).abs() < 2e-5, "{}: {found} is not {expected}", band.name);
            }
        }
    }

    #[rustfmt::skip]
    const EXPECTED: [[f64; 2]; 6] = [
        [0.331001318, 3.041792112], [0.268872494, 2.237076168], [0.200562292, 1.878815241],
        [0.105030312, 1.046825860], [0.078973210, 0.787621655], [0.060160664, 0.600218835],
    ];

    #[test]
    fn derivatives_are_differences_and_ends_are_held() {
        let metals = Band { metallicity: 0.02, ..default_bands()[1].clone() };
        for (teff, feh, reddening) in [(5000.0, -0.7, 0.3), (6500.0, 0.2, 2.0), (4100.0, f64::NAN, 0.02)] {
            let found = metals.extinction_at(teff, feh, reddening, 3.1).per_reddening;
            let expected = central_difference(|x| metals.extinction_at(teff, feh, x[0], 3.1).value, &[reddening])[0];
            assert!((found / expected - 1.0).abs() < 1e-7, "{found} is not {expected}");
        }
        let of = |teff| metals.extinction_at(teff, 0.0, 0.1, 3.1);
        assert_eq!((of(3000.0), of(20_000.0)), (of(3500.0), of(10_000.0)));
        let [above, below] = [0.01, -0.01].map(|reddening| metals.extinction_at(5500.0, 0.0, reddening, 3.1).value);
        assert!((above + below).abs() < 3e-3 * above, "noise about zero is no bias");
    }
}
