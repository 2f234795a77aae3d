//! The emulator: a small network from stellar labels to ln f_abs at ϖ = 1 mas (spec 1 §1; Zhang, Green & Rix
//! 2023, eq. 1).
//!
//! y(z) = MLP(z), linear output; z are the standardised labels. The default 3 → 32 → 32 → 32 → 66 with tanh
//! has, with ln R, the paper's 4484 global parameters.

use super::closed_form::ClosedForm;
use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::Parameter;
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::quantity::{Facts, require_free_names};
use crate::statistics::evenly_filling_steps;
use crate::tensor::{Device, Jet, Order, Tensor, WeightSpecification, Weights, biases_behind_sigmoids};
use crate::text::first_repeated;
use crate::unit;
use rand::SeedableRng;
use rand::distributions::Distribution;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most labels and hidden layers, and the widest of these.
const MOST_LABELS: usize = 64;
const MOST_LAYERS: usize = 64;
const WIDEST: usize = 1 << 16;

/// Nonlinearity of the hidden layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    #[default]
    Tanh,
    Sigmoid,
    LeakyRelu,
}

impl Activation {
    fn apply(self, jet: &Jet) -> Jet {
        match self {
            Self::Tanh => jet.tanh(),
            Self::Sigmoid => jet.sigmoid(),
            Self::LeakyRelu => jet.leaky_relu(0.01),
        }
    }
}

/// Adds y(z) to ln flux.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulator {
    /// Labels, in this order.
    #[serde(default = "atmospheric_labels")]
    pub labels: Vec<String>,
    /// Facts (unit, factor to model units, description) of labels that the program does not know, or other
    /// ones than it knows, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Facts>,
    /// Widths of the hidden layers.
    #[serde(default = "three_of_32")]
    pub hidden: Vec<usize>,
    #[serde(default)]
    pub activation: Activation,
    /// Whether z is concatenated to the input of every layer after the first.
    #[serde(default)]
    pub skip_connections: bool,
}

fn atmospheric_labels() -> Vec<String> {
    ["teff", "feh", "logg"].map(String::from).to_vec()
}

fn three_of_32() -> Vec<usize> {
    vec![32, 32, 32]
}

impl Default for Emulator {
    fn default() -> Self {
        Self {
            labels: atmospheric_labels(),
            facts: BTreeMap::new(),
            hidden: three_of_32(),
            activation: Activation::Tanh,
            skip_connections: false,
        }
    }
}

impl Emulator {
    /// `(inputs, outputs)` of every layer.
    fn layers(&self, n_wavelengths: usize) -> Vec<(usize, usize)> {
        let n_labels = self.labels.len();
        let widths: Vec<usize> = self.hidden.iter().copied().chain([n_wavelengths]).collect();
        let mut inputs = n_labels;
        widths
            .iter()
            .map(|&outputs| {
                let layer = (inputs, outputs);
                inputs = outputs + if self.skip_connections { n_labels } else { 0 };
                layer
            })
            .collect()
    }

    fn weight_name(layer: usize) -> String {
        format!("emulator.layer_{layer}.weight")
    }

    fn bias_name(layer: usize) -> String {
        format!("emulator.layer_{layer}.bias")
    }

    /// y(z) for a jet of standardised labels `[N, n_labels] → [N, W]`.
    pub fn network(&self, labels: &Jet, weights: &Weights, device: &Device) -> Result<Jet> {
        let mut hidden = labels.clone();
        for layer in 0..=self.hidden.len() {
            let input = if layer > 0 && self.skip_connections { Jet::concat(&[&hidden, labels], device) } else { hidden };
            let bias = weights.get::<1>(&Self::bias_name(layer))?.unsqueeze();
            hidden = input.matmul(&weights.get(&Self::weight_name(layer))?).add(&Jet::constant(bias));
            if layer < self.hidden.len() {
                hidden = self.activation.apply(&hidden);
            }
        }
        Ok(hidden)
    }

    /// Mean squared weight of all kernels (biases excluded): the (1/n_W) Σ W² of eq. 12.
    fn kernel_penalty(&self, weights: &Weights) -> Result<Tensor<1>> {
        let kernels = (0..=self.hidden.len())
            .map(|layer| weights.get::<2>(&Self::weight_name(layer)))
            .collect::<Result<Vec<Tensor<2>>>>()?;
        let n_weights: usize = kernels.iter().map(|kernel| kernel.dims().iter().product::<usize>()).sum();
        let total = kernels.into_iter().map(|kernel| (kernel.clone() * kernel).sum()).reduce(|a, b| a + b);
        total.map(|total| total / n_weights as f64).ok_or_else(|| Error::model("emulator").expected("at least one layer"))
    }

    /// Mean squared ∂²y/∂z_k² over a fixed lattice of labels within ±2 of the standardised range.
    fn curvature_penalty(&self, weights: &Weights, device: &Device) -> Result<Tensor<1>> {
        let n_labels = self.labels.len();
        let points = lattice(n_labels);
        let n_points = points.len() / n_labels;
        let free: Vec<Option<usize>> = (0..n_labels).map(Some).collect();
        let labels = Jet::variables(device.tensor(&points, [n_points, n_labels]), &free, Order::Second, device);
        let bend = self.network(&labels, weights, device)?.hessian(n_labels).ok_or_else(|| Error::model("second-order jet"))?;
        let total = (0..n_labels)
            .map(|k| bend.clone().slice([0..n_points, k * (n_labels + 1)..k * (n_labels + 1) + 1]))
            .map(|own| (own.clone() * own).mean())
            .reduce(|a, b| a + b);
        total.map(|total| total / n_labels as f64).ok_or_else(|| Error::model("emulator").expected("at least one label"))
    }

    /// Mean squared second difference of y between neighbours in wavelength, on the same lattice.
    fn roughness_penalty(&self, weights: &Weights, grid: &Grid, device: &Device) -> Result<Tensor<1>> {
        let n_labels = self.labels.len();
        let points = lattice(n_labels);
        let labels = Jet::constant(device.tensor(&points, [points.len() / n_labels, n_labels]));
        let y = self.network(&labels, weights, device)?.value;
        let [n, w] = y.dims();
        if w < 3 {
            return Ok(y.sum() * 0.0);
        }
        // Bands stand in the order of their file.
        let mut order: Vec<usize> = (0..w).collect();
        order.sort_by(|&a, &b| grid.wavelength[a].total_cmp(&grid.wavelength[b]));
        let y = if order.is_sorted() { y } else { y.select(1, device.indices(&order)) };
        let bend = y.clone().slice([0..n, 0..w - 2]) + y.clone().slice([0..n, 2..w]) - y.slice([0..n, 1..w - 1]) * 2.0;
        Ok((bend.clone() * bend).mean())
    }
}

/// 64 quasi-random points in [−2, 2]ⁿ.
fn lattice(n_labels: usize) -> Vec<f64> {
    let steps = evenly_filling_steps(n_labels);
    let coordinate = |i: u32, step: f64| 4.0 * (0.5 + f64::from(i) * step).fract() - 2.0;
    (1..=64).flat_map(|i| steps.iter().map(move |step| coordinate(i, *step))).collect()
}

impl Effect for Emulator {
    const KIND: &'static str = "emulator";

    fn validate(&self) -> Result<()> {
        let fault = |key: &str, found: String, expected: &str, remedy: &str| {
            Err(Error::usage(format!("effect 'emulator', {key}")).found(found).expected(expected).remedy(remedy))
        };
        if self.labels.is_empty() || self.labels.len() > MOST_LABELS || self.labels.iter().any(|label| label.trim().is_empty()) {
            let found = format!("{} labels {:?}", self.labels.len(), self.labels.iter().take(5).collect::<Vec<_>>());
            return fault("labels", found, "1 to 64 names", "Name the labels as their columns are named.");
        }
        if let Some(label) = first_repeated(self.labels.iter().map(String::as_str)) {
            return fault("labels", format!("'{label}' twice"), "distinct names", "Name every label once.");
        }
        require_free_names("effect 'emulator', labels", &self.labels)?;
        for (name, facts) in &self.facts {
            let place = format!("facts.{name}");
            let unit = facts.unit.as_deref().unwrap_or_default();
            if !self.labels.contains(name) {
                return fault(&place, "facts of no label".into(), &self.labels.join(", "), "Name a label of the emulator.");
            }
            if !(unit::is_absent(unit) || unit::parse(unit).is_ok()) {
                return fault(&place, format!("the unit '{unit}'"), "a unit such as km/s, or none", "Correct the unit.");
            }
            let factor = facts.model_units_per_file_unit;
            if !(factor > 0.0 && factor.is_finite()) {
                return fault(&place, format!("a factor of {factor}"), "a positive number", "Leave it out for one.");
            }
        }
        if self.hidden.len() > MOST_LAYERS {
            let found = format!("{} hidden layers", self.hidden.len());
            return fault("hidden", found, "at most 64", "Use fewer; three of 32 are the default.");
        }
        match self.hidden.iter().find(|width| !(1..=WIDEST).contains(*width)) {
            Some(width) => fault(
                "hidden",
                format!("a layer of width {width}"),
                "widths of 1 to 65536",
                "Three layers of 32 are the default.",
            ),
            None => Ok(()),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let facts = |name: &String| self.facts.get(name).cloned().unwrap_or_else(|| Facts::of(name));
        self.labels.iter().map(|name| Parameter::label_with(name, &facts(name))).collect()
    }

    fn n_weights(&self, grid: &Grid) -> u128 {
        self.layers(grid.len()).into_iter().map(|(inputs, outputs)| (inputs as u128 + 1) * outputs as u128).sum()
    }

    /// Kernels are drawn from N(0, 2/(inputs + outputs)) (Glorot & Bengio 2010), biases are zero. Networks of
    /// sigmoids begin as those of tanh, of which σ(z) = (1 + tanh(z/2))/2 are the same functions: with
    /// kernels as small as those they hardly depend on the labels, and the first steps of a training throw
    /// them far off.
    fn weights(&self, grid: &Grid, seed: u64) -> Vec<WeightSpecification> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut specifications = Vec::new();
        for (layer, (inputs, outputs)) in self.layers(grid.len()).into_iter().enumerate() {
            let width = (2.0 / (inputs + outputs) as f64).sqrt();
            let normal = rand_distr::StandardNormal;
            let mut draw = || width * Distribution::<f64>::sample(&normal, &mut random);
            let is_sigmoid = self.activation == Activation::Sigmoid;
            let factor = match layer {
                _ if !is_sigmoid => 1.0,
                0 => 2.0,
                last if last == self.hidden.len() => 2.0,
                _ => 4.0,
            };
            let kernel: Vec<f64> = (0..inputs * outputs).map(|_| factor * draw()).collect();
            let biases = if is_sigmoid && layer > 0 { biases_behind_sigmoids(&kernel, outputs) } else { vec![0.0; outputs] };
            specifications.push(WeightSpecification {
                name: Self::weight_name(layer),
                shape: vec![inputs, outputs],
                initial: kernel,
            });
            specifications.push(WeightSpecification { name: Self::bias_name(layer), shape: vec![outputs], initial: biases });
        }
        specifications
    }

    fn apply(&self, star: &StarParameters<'_>, weights: &Weights, _grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        let labels = star.coordinates(&self.labels)?;
        Ok(flux.multiply_exp(&self.network(&labels, weights, star.device())?))
    }

    fn penalty_names(&self) -> &'static [&'static str] {
        &["kernel", "emulator_curvature", "emulator_roughness"]
    }

    fn penalty(&self, name: &str, weights: &Weights, grid: &Grid, device: &Device) -> Result<Tensor<1>> {
        match name {
            "kernel" => self.kernel_penalty(weights),
            "emulator_curvature" => self.curvature_penalty(weights, device),
            _ => self.roughness_penalty(weights, grid, device),
        }
    }

    fn wavelength_weights(&self) -> Vec<String> {
        vec![Self::weight_name(self.hidden.len()), Self::bias_name(self.hidden.len())]
    }

    fn closed_form(&self, _grid: &Grid) -> Option<ClosedForm> {
        let layers = (0..=self.hidden.len()).map(|layer| [Self::weight_name(layer), Self::bias_name(layer)]).collect();
        let (labels, skip_connections) = (self.labels.clone(), self.skip_connections);
        (self.activation == Activation::Tanh).then_some(ClosedForm::Network { labels, layers, skip_connections })
    }

    fn absorb_offset(&self, weights: &mut Weights, ln_flux_offset: &[f64], device: &Device) -> Result<bool> {
        let name = Self::bias_name(self.hidden.len());
        let shifted: Vec<f64> = weights.values(&name)?.iter().zip(ln_flux_offset).map(|(bias, offset)| bias + offset).collect();
        weights.set(&name, &shifted, device)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator(facts: &str) -> Emulator {
        toml::from_str(&format!("labels = ['teff', 'vsini']\n[facts.vsini]\n{facts}")).unwrap()
    }

    #[test]
    fn a_recipe_gives_the_unit_of_its_own_label() {
        let own = emulator("unit = 'km/s'\nmodel_units_per_file_unit = 0.01\ndescription = 'projected rotation velocity'");
        Effect::validate(&own).unwrap();
        let [teff, vsini] = &Effect::parameters(&own)[..] else { panic!("two labels") };
        assert_eq!((teff.unit.as_str(), vsini.unit.as_str()), ("K", "km/s"));
        assert_eq!((vsini.description.as_str(), vsini.model_units_per_file_unit), ("projected rotation velocity", 0.01));
        assert!(vsini.is_label());
        for (facts, expected) in [("unit = 'kmps'", "'kmps'"), ("model_units_per_file_unit = 0.0", "factor of 0")] {
            let message = Effect::validate(&emulator(facts)).unwrap_err().to_string();
            assert!(message.contains("facts.vsini") && message.contains(expected), "{message}");
        }
        let other = Emulator { labels: vec!["teff".into()], ..own };
        assert!(Effect::validate(&other).unwrap_err().to_string().contains("facts of no label"));
    }

    /// σ(z) = (1 + tanh(z/2))/2: networks of either begin as the same function.
    #[test]
    fn networks_of_sigmoids_begin_as_those_of_tanh() {
        let wavelength: Vec<f64> = (0..5).map(|i| 400.0 + 50.0 * f64::from(i)).collect();
        let names = wavelength.iter().map(|nm| format!("band_{nm}")).collect();
        let grid = Grid::new(wavelength, names).unwrap();
        let points = ndarray::Array2::from_shape_fn((7, 3), |(star, label)| (star as f64 + 0.7 * label as f64).sin());
        let [tanh, sigmoid] = ["tanh", "sigmoid"].map(|activation| {
            let table = format!("kind = 'emulator'\nhidden = [9, 7, 8]\nactivation = '{activation}'").parse().unwrap();
            let device = crate::tensor::Device::cpu();
            let model = crate::model::ForwardModel::new(&crate::model::Registry::standard(), &[table], grid.clone(), 3, &device);
            model.unwrap().predict(points.view()).unwrap()
        });
        assert!(tanh.iter().zip(&sigmoid).all(|(a, b)| (a / b - 1.0).abs() < 1e-5), "{tanh} {sigmoid}");
    }
}
