//! Dust by a published law: optical depth E (R_V a(λ) + b(λ))/1.0857 with the a and b of Cardelli, Clayton &
//! Mathis (1989, ApJ 345, 245; eq. 1), E = E(B−V) and an R_V for every star, or one for all.
//!
//! Nothing of it is learned: E is in the unit of the law, measured reddenings are those or wrong, and what
//! the law lacks (it is monochromatic: bands have the extinction of their wavelength) goes into the errors of
//! the model. A curve that is learned ([`super::Extinction`]) follows the data; this one tells R_V itself.

use super::check::check_names;
use super::derived::Derived;
use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::{GaussianPrior, Parameter};
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::spectrum::extinction_law::{CCM89_R_V, MAGNITUDES_PER_OPTICAL_DEPTH, ccm89_optical_depth};
use crate::tensor::{Jet, WeightSpecification, Weights};
use serde::{Deserialize, Serialize};

/// Subtracts E·R(λ; R_V) of CCM89 from ln flux.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtinctionLaw {
    /// Name of the amount of dust, E(B−V).
    #[serde(default = "extinction")]
    pub amount: String,
    /// Name of the parameter R_V.
    #[serde(default = "r_v")]
    pub ratio: String,
    /// Mean of R_V in the Galaxy, …
    #[serde(default = "galactic")]
    pub r_v_mean: f64,
    /// … and how it scatters from star to star, its prior; at zero all stars have the mean.
    #[serde(default = "scatter")]
    pub r_v_scatter: f64,
}

fn extinction() -> String {
    "extinction".into()
}

fn r_v() -> String {
    "r_v".into()
}

fn galactic() -> f64 {
    3.1
}

/// Schlafly et al. (2016, ApJ 821, 78) find 0.18 within some kiloparsecs; denser clouds differ by more.
fn scatter() -> f64 {
    0.3
}

/// Magnitudes from which E starts where nothing is measured, and the most that a search may take.
const START: f64 = 0.1;
const LARGEST: f64 = 100.0;
/// Two R_V, between which the optical depth is a straight line, as everywhere.
const AT: [f64; 2] = [3.0, 4.0];

impl ExtinctionLaw {
    fn varies(&self) -> bool {
        self.r_v_scatter > 0.0
    }

    /// Optical depth per E(B−V) at R_V = 0 `[W]`, and its slope in R_V `[W]`.
    fn line(wavelength: &[f64]) -> Result<[Vec<f64>; 2]> {
        let [low, high] = [ccm89_optical_depth(wavelength, AT[0])?, ccm89_optical_depth(wavelength, AT[1])?];
        let slope: Vec<f64> = low.iter().zip(&high).map(|(low, high)| (high - low) / (AT[1] - AT[0])).collect();
        Ok([low.iter().zip(&slope).map(|(low, slope)| low - AT[0] * slope).collect(), slope])
    }
}

impl Effect for ExtinctionLaw {
    const KIND: &'static str = "extinction_law";

    fn validate(&self) -> Result<()> {
        check_names(Self::KIND, &[("amount", &self.amount), ("ratio", &self.ratio)])?;
        let fault = |key: &str, found: f64, expected: String| {
            Err(Error::usage(format!("effect '{}', {key}", Self::KIND))
                .found(found.to_string())
                .expected(expected)
                .remedy("Leave the key out for 3.1 ± 0.3."))
        };
        if !CCM89_R_V.contains(&self.r_v_mean) {
            let expected = format!("a number from {} to {}, for which the law was measured", CCM89_R_V.start(), CCM89_R_V.end());
            return fault("r_v_mean", self.r_v_mean, expected);
        }
        match (0.0..=2.0).contains(&self.r_v_scatter) {
            true => Ok(()),
            false => fault("r_v_scatter", self.r_v_scatter, "a number from 0 (one R_V for all stars) to 2".into()),
        }
    }

    fn validate_on(&self, grid: &Grid) -> Result<()> {
        Self::line(&grid.wavelength).map(drop).map_err(|error| error.within(format!("effect '{}'", Self::KIND)))
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters =
            vec![Parameter::amount(&self.amount, "mag", "reddening E(B-V), in the unit of the law", START, LARGEST)];
        if self.varies() {
            let prior = GaussianPrior { mean: self.r_v_mean, standard_deviation: self.r_v_scatter };
            parameters.push(Parameter {
                prior: Some(prior),
                start: self.r_v_mean,
                range: Some([*CCM89_R_V.start(), *CCM89_R_V.end()]),
                ..Parameter::new(&self.ratio, "", "ratio of total to selective extinction A(V)/E(B-V)")
            });
        }
        parameters
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        let [offset, slope] = Self::line(&grid.wavelength)?;
        let constant = |values: &[f64]| Jet::constant(star.device().tensor(values, [1, grid.len()]));
        let curve = if self.varies() {
            star.value(&self.ratio)?.mul(&constant(&slope)).add(&constant(&offset))
        } else {
            let fixed: Vec<f64> = offset.iter().zip(&slope).map(|(offset, slope)| offset + self.r_v_mean * slope).collect();
            constant(&fixed)
        };
        Ok(flux.multiply_exp(&star.value(&self.amount)?.mul(&curve).scale(-1.0)))
    }

    /// `a_550`: A(550 nm) in mag.
    fn derived(&self, _weights: &Weights, _grid: &Grid) -> Result<Vec<Derived>> {
        let [offset, slope] = Self::line(&[550.0])?.map(|values| values[0]);
        let (varies, mean) = (self.varies(), self.r_v_mean);
        let mut parameters = vec![self.amount.clone()];
        parameters.extend(varies.then(|| self.ratio.clone()));
        let extinction = move |values: &[f64]| {
            let r_v = if varies { values[1] } else { mean };
            MAGNITUDES_PER_OPTICAL_DEPTH * values[0] * (offset + slope * r_v)
        };
        let description = "extinction at 550 nm by the law of Cardelli, Clayton & Mathis (1989)";
        Ok(vec![Derived::new("a_550", "mag", description, parameters, extinction).with_ucd("phys.absorption;em.opt.V")])
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::verify;
    use super::super::{ForwardModel, Registry};
    use super::*;
    use crate::tensor::Device;
    use ndarray::Array2;

    fn model(law: &str) -> Result<ForwardModel> {
        let emulator = "kind = 'emulator'\nhidden = [9, 7]".parse().unwrap();
        let distance = "kind = 'distance'".parse().unwrap();
        let wavelength = vec![400.0, 550.0, 700.0, 950.0, 1240.0, 2160.0, 4600.0];
        let grid = Grid::new(wavelength, ["a", "b", "c", "d", "j", "ks", "w2"].map(String::from).to_vec()).unwrap();
        let effects = [emulator, law.parse().unwrap(), distance];
        ForwardModel::new(&Registry::standard(), &effects, grid, 3, &Device::cpu())
    }

    const VARIES: &str = "kind = 'extinction_law'";
    const FIXED: &str = "kind = 'extinction_law'\nr_v_scatter = 0.0\nr_v_mean = 2.7";

    #[test]
    fn it_keeps_the_contract() {
        for law in [VARIES, FIXED] {
            let scratch = tempfile::tempdir().unwrap();
            verify(&model(law).unwrap(), &Registry::standard(), scratch.path()).unwrap_or_else(|error| panic!("{law}: {error}"));
        }
    }

    /// A(λ)/A(V) of `dust_extinction` (1.5, `CCM89(Rv)(λ)`), beyond its range by the law's own power law.
    #[test]
    fn the_flux_falls_as_the_law_says() {
        for (law, r_v) in [(VARIES, 3.1), (VARIES, 4.3), (FIXED, 2.7)] {
            let model = model(law).unwrap();
            let names: Vec<&str> = model.space.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let varies = names.contains(&"r_v");
            let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
            let of = |reddening: f64| {
                let mut point = Array2::zeros((1, names.len()));
                let dust = &model.space.parameters[at("extinction")];
                point[[0, at("extinction")]] = dust.coordinate(reddening);
                if varies {
                    point[[0, at("r_v")]] = model.space.parameters[at("r_v")].coordinate(r_v);
                }
                model.predict(point.view()).unwrap()
            };
            let [some, more] = [of(0.1), of(0.5)];
            let expected = ccm89_optical_depth(&model.grid.wavelength, r_v).unwrap();
            for ((some, more), expected) in some.iter().zip(&more).zip(expected) {
                assert!(
                    ((some / more).ln() / 0.4 - expected).abs() < 1e-4,
                    "{law} {r_v}: {} {expected}",
                    (some / more).ln() / 0.4
                );
            }
        }
    }

    #[test]
    fn what_the_law_does_not_hold_for_is_refused() {
        for (text, key) in [
            ("r_v_mean = 9.0", "r_v_mean"),
            ("r_v_scatter = -0.1", "r_v_scatter"),
            ("r_v_scatter = nan", "r_v_scatter"),
            ("ratio = ''", "ratio"),
        ] {
            let error = toml::from_str::<ExtinctionLaw>(text).unwrap().validate().unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("extinction_law"), "{text}: {error}");
        }
        let far = Grid::new(vec![500.0, 12_000.0], vec!["v".into(), "w3".into()]).unwrap();
        let law: ExtinctionLaw = toml::from_str("").unwrap();
        assert!(law.validate_on(&far).unwrap_err().to_string().contains("12000"));
    }
}
