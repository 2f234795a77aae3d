//! A second star whose light is not resolved from that of the first: the sum of two fluxes of one emulator.
//!
//! f = f(Θ₁) + f(Θ₂), where Θ₂ shares all labels with Θ₁ but those that the second star has of its own (T_eff
//! and log g: stars of one origin have one composition). Dust and distance are those of both and act on the
//! sum, so this effect stands between emulator and dust. The second flux is what the effects before it make
//! of the other labels: it has the emulator's own weights, whichever emulator that is.
//!
//! The labels of the second star are free rather than one mass ratio along a sequence: a sequence is known of
//! unevolved stars only, and the prior of the labels of a sample holds its sequences already (in fits, the
//! second star's labels have that prior given those shared with the first; see `infer/second_star`).

use super::check::check_names;
use super::closed_form::ClosedForm;
use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::{GaussianPrior, Parameter};
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::quantity::Facts;
use crate::tensor::{WeightSpecification, Weights};
use crate::text::first_repeated;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the names of the second star's parameters begin with.
const COMPANION: &str = "companion_";

/// Adds the flux of a second star of the same emulator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondStar {
    /// Labels that the second star has of its own: its parameters are `companion_<label>`.
    #[serde(default = "teff_and_logg")]
    pub labels: Vec<String>,
    /// Gaussian priors of these labels in file units, by label, which data that know nothing of a second star
    /// need. Fits that add the second star themselves have the mixture prior instead.
    #[serde(default = "of_dwarfs")]
    pub priors: BTreeMap<String, GaussianPrior>,
}

fn teff_and_logg() -> Vec<String> {
    ["teff", "logg"].map(String::from).to_vec()
}

/// Main-sequence stars.
fn of_dwarfs() -> BTreeMap<String, GaussianPrior> {
    let prior = |mean: f64, standard_deviation: f64| GaussianPrior { mean, standard_deviation };
    [("teff".into(), prior(5000.0, 1000.0)), ("logg".into(), prior(4.5, 0.2))].into()
}

impl Default for SecondStar {
    fn default() -> Self {
        Self { labels: teff_and_logg(), priors: of_dwarfs() }
    }
}

impl SecondStar {
    /// With these labels of its own, for a fit that has its own prior of them.
    pub fn of(labels: &[String]) -> Self {
        let wide = |label: &String| (label.clone(), GaussianPrior { mean: 0.0, standard_deviation: 1e6 });
        Self { labels: labels.to_vec(), priors: labels.iter().map(wide).collect() }
    }

    /// Every label that the second star has of its own, and the parameter that is in its place.
    pub fn replaced(&self) -> Vec<(String, String)> {
        self.labels.iter().map(|label| (label.clone(), format!("{COMPANION}{label}"))).collect()
    }

    /// The second star's parameter that corresponds to a label of the first: in the same standardisation, and
    /// within what the model was trained on, since it extrapolates for a star that is all but invisible.
    pub fn of_label(&self, label: &Parameter) -> Parameter {
        let named = Parameter::new(&format!("{COMPANION}{}", label.name), &label.unit, &description(&label.description));
        Parameter {
            model_units_per_file_unit: label.model_units_per_file_unit,
            transform: label.transform,
            centre: label.centre,
            scale: label.scale,
            start: label.start,
            range: label.training_range.or(label.range),
            ..named
        }
    }
}

fn description(of_label: &str) -> String {
    format!("{of_label} of a second star")
}

impl Effect for SecondStar {
    const KIND: &'static str = "second_star";

    fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str| {
            Err(Error::usage(format!("effect 'second_star', {key}"))
                .found(found)
                .expected(expected)
                .remedy("Leave the key out for a second star with its own teff and logg."))
        };
        if self.labels.is_empty() {
            return fault("labels", "none".into(), "labels of the emulator that the second star has of its own");
        }
        if let Some(label) = first_repeated(self.labels.iter().map(String::as_str)) {
            return fault("labels", format!("'{label}' twice"), "distinct names");
        }
        for (_, own) in self.replaced() {
            check_names(Self::KIND, &[("labels", &own)])?;
        }
        for (label, prior) in &self.priors {
            let is_possible = prior.mean.is_finite() && prior.standard_deviation > 0.0 && prior.standard_deviation.is_finite();
            if !is_possible {
                return fault(&format!("priors.{label}"), format!("{prior:?}"), "a finite mean, a positive standard deviation");
            }
        }
        match self.labels.iter().find(|label| !self.priors.contains_key(*label)) {
            Some(label) => fault("priors", format!("none of '{label}'"), "a prior of every label of the second star"),
            None => Ok(()),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let own = self.labels.iter().map(|label| {
            let facts = Facts::of(label);
            let of_first = Parameter::label_with(label, &facts);
            let prior = self.priors.get(label).map(|prior| GaussianPrior {
                mean: prior.mean * facts.model_units_per_file_unit,
                standard_deviation: prior.standard_deviation * facts.model_units_per_file_unit,
            });
            let start = prior.map_or(0.0, |prior| prior.mean);
            Parameter { prior, start, ..self.of_label(&of_first) }
        });
        own.collect()
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        let replaced = self.replaced();
        let names: Vec<(&str, &str)> = replaced.iter().map(|(label, own)| (label.as_str(), own.as_str())).collect();
        Ok(flux.add(&star.flux_of_another(&names, weights, grid)?.linear()))
    }

    fn closed_form(&self, _grid: &Grid) -> Option<ClosedForm> {
        Some(ClosedForm::SecondStar { replaced: self.replaced() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::verify;
    use super::super::{ForwardModel, Registry};
    use super::*;
    use crate::tensor::Device;
    use ndarray::{Array2, s};

    fn model(effects: &[&str]) -> ForwardModel {
        let tables: Vec<toml::Table> = effects.iter().map(|text| text.parse().unwrap()).collect();
        let wavelength: Vec<f64> = (0..12).map(|i| 400.0 + 50.0 * f64::from(i)).collect();
        let grid = Grid::new(wavelength.clone(), wavelength.iter().map(|nm| format!("band_{nm}")).collect()).unwrap();
        let mut model = ForwardModel::new(&Registry::standard(), &tables, grid, 3, &Device::cpu()).unwrap();
        for parameter in model.space.parameters.iter_mut().filter(|parameter| parameter.is_label()) {
            (parameter.centre, parameter.scale) = (0.4, 1.7);
        }
        model
    }

    const EMULATOR: &str = "kind = 'emulator'\nhidden = [9, 7]";
    const ALPHA: &str = "kind = 'emulator'\nhidden = [9, 7]\nlabels = ['logg', 'alpha_fe', 'teff', 'feh']";
    const SECOND: &str = "kind = 'second_star'";
    const DUST: &str = "kind = 'extinction'\nvariation = true";
    const DISTANCE: &str = "kind = 'distance'";

    /// Jacobian and exact Hessian against central differences in f64, wherever it stands after the emulator.
    #[test]
    fn it_keeps_the_contract() {
        let own = "kind = 'second_star'\nlabels = ['alpha_fe']\n[priors.alpha_fe]\nmean = 0.1\nstandard_deviation = 0.1";
        let compositions: [&[&str]; 4] = [
            &[EMULATOR, SECOND],
            &[EMULATOR, SECOND, DUST, DISTANCE],
            &[EMULATOR, DUST, DISTANCE, SECOND],
            &[ALPHA, own, DUST, DISTANCE],
        ];
        for effects in compositions {
            let scratch = tempfile::tempdir().unwrap();
            let report = verify(&model(effects), &Registry::standard(), scratch.path());
            report.unwrap_or_else(|error| panic!("{effects:?}: {error}"));
        }
        let first = model(&[SECOND, EMULATOR]).predict(Array2::zeros((1, 5)).view()).unwrap_err().to_string();
        assert!(first.contains("no effect before"), "{first}");
    }

    /// The flux of a pair is that of its stars, whether dust and distance come before or after the sum; twins
    /// have twice the flux of one.
    #[test]
    fn a_pair_has_the_sum_of_the_fluxes_of_its_stars() {
        let single = model(&[EMULATOR, DUST, DISTANCE]);
        let pair = single.with_second_star(SecondStar::default()).unwrap();
        let names: Vec<&str> = pair.space.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(names, ["teff", "feh", "logg", "extinction", "xi", "parallax", "companion_teff", "companion_logg"]);
        let kinds: Vec<&str> = pair.effects.iter().map(|effect| effect.kind()).collect();
        assert_eq!(kinds, ["emulator", "second_star", "extinction", "distance"]);
        assert_eq!(pair.n_weights(), single.n_weights(), "its own weights are none");
        let points = Array2::from_shape_fn((4, 8), |(row, p)| (row as f64 + 0.4 * p as f64).sin() - 0.3);
        let mut second = points.slice(s![.., ..6]).to_owned();
        second.column_mut(0).assign(&points.column(6));
        second.column_mut(2).assign(&points.column(7));
        let sum = single.predict(points.slice(s![.., ..6])).unwrap() + single.predict(second.view()).unwrap();
        let found = pair.predict(points.view()).unwrap();
        let close = |a: &Array2<f64>, b: &Array2<f64>| a.iter().zip(b).all(|(a, b)| (a / b - 1.0).abs() < 1e-5);
        assert!(close(&found, &sum), "{found} {sum}");

        // Parameters of other standardisations, and the effect after dust and distance: the same star.
        let mut last = model(&[EMULATOR, DUST, DISTANCE, SECOND]);
        last.weights = single.weights.clone();
        let mut own = points.clone();
        for (column, label) in [(6, 0), (7, 2)] {
            let values = points.column(column).mapv(|u| pair.space.parameters[label].model_value(u));
            own.column_mut(column).assign(&values);
        }
        assert!(close(&last.predict(own.view()).unwrap(), &sum));

        assert!(pair.with_second_star(SecondStar::default()).unwrap_err().to_string().contains("two stars already"));
        let other = SecondStar { labels: vec!["alpha_fe".into()], priors: of_dwarfs() };
        assert!(Effect::validate(&other).unwrap_err().to_string().contains("none of 'alpha_fe'"));
    }
}
